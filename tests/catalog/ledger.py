"""What must be true of both ledgers after anything."""

from catalog.models import StatusChange, Stock, StockMovement


def assert_ledger_explains(product):
    """The sum of the deltas, and the last row's result, are the Stock row."""
    rows = list(StockMovement.objects.filter(product=product).order_by("pk"))
    row = Stock.objects.get(pk=product.pk)
    for name in ("on_hand", "reserved", "allocated"):
        assert sum(getattr(m, f"{name}_delta") for m in rows) == getattr(row, name)
        at = 0
        for movement in rows:
            assert getattr(movement, f"{name}_before") == at
            at = getattr(movement, f"{name}_after")
        assert at == getattr(row, name)


def assert_flips_are_a_chain(product, first_status):
    """Each crossing stands once: every change starts where the last one ended."""
    status = first_status
    for change in StatusChange.objects.filter(product=product).order_by("pk"):
        assert change.from_status == status != change.to_status
        status = change.to_status
    assert status == Stock.objects.get(pk=product.pk).status
