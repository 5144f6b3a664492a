"""Which job runs when; read by `manage.py rqcron sales.cron`.

Jobs that nobody takes are dropped after `ttl`, so they do not pile up without a worker.
"""

from rq import cron

from sales import jobs

SCHEDULE = [
    (jobs.drain_items, "flash", 15, 60, 15),
    (jobs.preload_due, "default", 10, 120, 20),
    (jobs.advance_sales, "default", 3, 120, 10),
    (jobs.expire_holds, "default", 3, 120, 10),
    (jobs.follow_payments, "default", 15, 120, 30),
    (jobs.handle_notices, "default", 5, 120, 15),
    (jobs.recover, "default", 3, 300, 10),
    (jobs.send_notices, "default", 5, 300, 15),
    (jobs.send_mails, "default", 5, 300, 15),
    (jobs.look_for_long_outs, "default", 900, 600, 600),
    (jobs.audit_stock, "default", 60, 300, 60),
    (jobs.work_imports, "imports", 3, 1800, 5),
    (jobs.fold_demand, "default", 30, 60, 30),
    (jobs.expire_carts, "default", 86400, 600, 600),
    (jobs.forget_old, "default", 3600, 600, 600),
]

for function, queue, seconds, timeout, ttl in SCHEDULE:
    cron.register(
        function,
        queue_name=queue,
        interval=seconds,
        job_timeout=timeout,
        ttl=ttl,
        result_ttl=0,
    )
