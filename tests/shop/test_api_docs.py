"""The commands of docs/api.md do what the page says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from catalog.models import Stock
from sales import sync
from sales.models import FlashSaleItem, Order

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def test_the_quick_start_runs_from_token_to_paid_order(
    live_server, sale_redis, settings
):
    settings.ACCOUNT_RATE_LIMITS = False  # other tests sign in from this address, too
    User.objects.create_superuser(
        "merchant@demo.test", "merchant@demo.test", "holdfast-demo"
    )
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len(blocks) > 10
    bash, curl = shutil.which("bash"), shutil.which("curl")
    assert bash, "the quick start is written for bash"
    assert curl, "the quick start needs curl"

    done = subprocess.run(
        [bash, "-euo", "pipefail"],
        input="".join(blocks),
        env={"SHOP": live_server.url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "holds\n" in done.stdout
    assert "paid\n" in done.stdout
    sync.drain(FlashSaleItem.objects.get().pk)
    states = Order.objects.order_by("state").values_list("state", flat=True)
    assert list(states) == ["cancelled", "paid"]
    stock = Stock.objects.get()
    assert (stock.on_hand, stock.reserved, stock.allocated) == (9, 0, 3)
