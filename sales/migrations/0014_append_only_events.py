"""The events of flash sales cannot be edited or deleted, whoever asks."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION sales_refuse_event_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the events of flash sales are append-only'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER flash_event_append_only
    BEFORE UPDATE OR DELETE ON sales_flashevent
    FOR EACH ROW EXECUTE FUNCTION sales_refuse_event_edit();
"""

BACKWARDS = """
DROP TRIGGER flash_event_append_only ON sales_flashevent;
DROP FUNCTION sales_refuse_event_edit();
"""


class Migration(migrations.Migration):
    dependencies = [("sales", "0013_orders_by_email")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
