"""The stock ledger cannot be edited or deleted, whoever asks."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION catalog_refuse_ledger_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the stock ledger is append-only'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER stock_movement_append_only
    BEFORE UPDATE OR DELETE ON catalog_stockmovement
    FOR EACH ROW EXECUTE FUNCTION catalog_refuse_ledger_edit();
"""

BACKWARDS = """
DROP TRIGGER stock_movement_append_only ON catalog_stockmovement;
DROP FUNCTION catalog_refuse_ledger_edit();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
