# The same steps as outside: locked packages, collectstatic, granian.
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY . .
ENV DATA_DIR=/data STATIC_ROOT=/app/staticfiles
RUN python manage.py collectstatic --no-input \
    && useradd --system --no-create-home shop \
    && install --directory --owner=shop /data
USER shop
VOLUME /data
EXPOSE 8000

# GRANIAN_WORKERS: one process per core.
CMD ["granian", "--interface", "wsgi", "--no-ws", "--host", "0.0.0.0", "--port", "8000", \
     "--blocking-threads", "4", "--respawn-failed-workers", "--workers-kill-timeout", "8", \
     "shop.wsgi:application"]
