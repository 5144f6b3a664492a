"""Webhooks are no way into the shop's own network, and reach all the rest."""

import socket
import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from catalog import outbox, outgoing
from catalog.models import WebhookDelivery, WebhookEndpoint

pytestmark = pytest.mark.django_db

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",  # between a provider and its customers
    "169.254.169.254",  # metadata of most clouds
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::a00:1",  # 10.0.0.1 behind a translator
    "64:ff9b:1::1",
    "2002:7f00:1::1",  # 127.0.0.1 in a tunnel
    "2001::1",
]
PUBLIC = [
    "8.8.8.8",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.fixture
def strict(settings):
    settings.SHOP_WEBHOOK_INTERNAL = False


class Names(dict):
    """Names with their addresses, and which of them were looked up."""

    def __init__(self):
        super().__init__()
        self.looked_up = []


@pytest.fixture
def names(monkeypatch):
    """A resolver that knows some names more."""
    resolve = socket.getaddrinfo
    addresses = Names()

    def answer(host, port, *args, **kwargs):
        if host not in addresses:
            return resolve(host, port, *args, **kwargs)
        addresses.looked_up.append(host)
        found = (resolve(a, port, *args, **kwargs) for a in addresses[host])
        return [each for one in found for each in one]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return addresses


def well(handler):
    handler.send_response(200)
    handler.end_headers()


def url_of(receiver, host, scheme="http"):
    return f"{scheme}://{host}:{receiver.server_port}/"


def deliver(url):
    """What the list of deliveries says of an event to this address alone."""
    WebhookEndpoint.objects.update(is_active=False)
    WebhookEndpoint.objects.create(url=url)
    outbox.publish("order.paid", [{}])
    outbox.deliver_due(timezone.now())
    delivery = WebhookDelivery.objects.latest("pk")
    return delivery.state, delivery.answer


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_not_called(strict, address):
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(outgoing.NotPublic):
        outgoing.post(f"http://{host}:9/", b"", {}, timeout=0.1)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address):
    assert outgoing.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost"])
def test_the_list_of_deliveries_says_what_to_do(strict, receivers, host):
    receiver = receivers(well)

    state, answer = deliver(url_of(receiver, host))

    assert state == "pending"
    assert "Enter a public one, or have SHOP_WEBHOOK_INTERNAL switched on" in answer
    assert not receiver.calls


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]],
    ids=["inside", "also outside", "mapped"],
)
def test_a_name_that_leads_inside_is_not_called(strict, receivers, names, addresses):
    receiver = receivers(well)
    names["hook.example"] = addresses

    state, answer = deliver(url_of(receiver, "hook.example"))

    assert (state, "private network" in answer) == ("pending", True)
    assert not receiver.calls


def test_a_name_is_looked_up_once_so_that_it_cannot_change_in_between(receivers, names):
    receiver = receivers(well)
    names["hook.example"] = ["127.0.0.1"]

    assert deliver(url_of(receiver, "hook.example")) == ("delivered", "200")

    assert names.looked_up == ["hook.example"]


def test_a_name_is_called_at_the_first_address_that_answers(receivers, names):
    receiver = receivers(well)
    names["hook.example"] = ["127.0.0.2", "127.0.0.1"]

    assert deliver(url_of(receiver, "hook.example")) == ("delivered", "200")


def test_the_setting_lets_the_inside_be_called(receivers, settings):
    settings.SHOP_WEBHOOK_INTERNAL = True
    receiver = receivers(well)

    assert deliver(url_of(receiver, "localhost")) == ("delivered", "200")


def test_a_redirect_is_an_answer_and_not_followed(receivers):
    inside = receivers(well)

    def elsewhere(handler):
        handler.send_response(307)
        handler.send_header("Location", url_of(inside, "127.0.0.1"))
        handler.end_headers()

    receiver = receivers(elsewhere)

    assert deliver(url_of(receiver, "127.0.0.1")) == ("pending", "307")

    assert (len(receiver.calls), len(inside.calls)) == (1, 0)


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """A server's side of TLS, with a certificate for hook.example that is trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hook.example")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "hook.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_the_certificate_is_of_the_name_though_an_address_is_called(
    receivers, names, tls
):
    receiver = receivers(well, tls=tls)
    names["hook.example"] = names["other.example"] = ["127.0.0.1"]

    right = deliver(url_of(receiver, "hook.example", "https"))
    state, answer = deliver(url_of(receiver, "other.example", "https"))

    assert right == ("delivered", "200")
    assert (state, "certificate verify failed" in answer) == ("pending", True)
    assert len(receiver.calls) == 1
