"""The load generator sends what it says, and counts what came of it; nothing here depends on how fast anything is."""

import itertools
import json
import socket
import time
from collections import Counter
from random import Random

import pytest
from answering import BUSY, LAST, OK, answering
from serving import SECRET, signature_of

from wa_webhooks.bench.connections import read_answer
from wa_webhooks.bench.figures import Load, percentile
from wa_webhooks.bench.generator import arrivals, closed_load, open_load
from wa_webhooks.bench.line import FAIL, PASS, VOID, Measurement, judge
from wa_webhooks.bench.traffic import READ_AFTER, Traffic
from wa_webhooks.errors import ConfigError
from wa_webhooks.splitting import split


def traffic(port=80):
    return Traffic("127.0.0.1", port, "/webhook", SECRET, Random(7))


def parts(request):
    """The header lines of a request, and its body."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /webhook HTTP/1.1"
    return dict(line.split(": ", 1) for line in lines), body


def items(requests):
    """The one event of each request."""
    for request in requests:
        (event,) = split(parts(request)[1])
        assert event.problem is None
        yield event


# --- the traffic


def test_a_request_is_signed_and_whole():
    for request in itertools.islice(traffic(8080).mixed(), 50):
        headers, body = parts(request)
        assert headers["X-Hub-Signature-256"] == signature_of(body)
        assert int(headers["Content-Length"]) == len(body)
        assert headers["Host"] == "127.0.0.1:8080"
        assert json.loads(body)["object"] == "whatsapp_business_account"


def test_a_thousand_messages_are_3300_requests():
    types = Counter(event.type for event in items(itertools.islice(traffic().mixed(), 3300)))
    assert types == {"status.sent": 1000, "status.delivered": 1000, "status.read": 1000, "message.text": 300}


def test_statuses_belong_to_messages_and_come_in_order():
    seen = {"status.sent": {}, "status.delivered": {}, "status.read": {}}
    replied = set()
    for place, event in enumerate(items(itertools.islice(traffic().mixed(), 3300))):
        if event.type == "message.text":
            replied.add(event.item["context"]["id"])
        else:
            assert event.message_id not in seen[event.type]
            seen[event.type][event.message_id] = place, event.item["recipient_user_id"]
    sent, delivered, read = seen.values()
    assert len(sent.keys() & read.keys()) == 1000 - READ_AFTER  # the others are still to be read
    for message in sent.keys() & read.keys():
        assert sent[message][0] < delivered[message][0] < read[message][0]
        assert len({sent[message][1], delivered[message][1], read[message][1]}) == 1
    assert len({lead for _, lead in sent.values()}) == 1000
    assert replied <= read.keys()


def test_texts_are_a_kilobyte_each_and_all_new():
    bodies = [parts(request)[1] for request in itertools.islice(traffic().texts(), 200)]
    assert all(950 < len(body) < 1050 for body in bodies)
    assert len({split(body)[0].message_id for body in bodies}) == 200


# --- answers


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (OK, (200, True)),
        (BUSY, (503, True)),
        (LAST, (200, False)),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", (200, False)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, True)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", (200, True)),
    ],
)
def test_an_answer_is_complete_with_its_last_byte(data, answer):
    assert read_answer(data) == answer
    assert all(read_answer(data[:length]) is None for length in range(len(data)))


@pytest.mark.parametrize("data", [b"220 mail.example ESMTP", OK + b"x", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_is_no_single_answer_is_said_so(data):
    with pytest.raises(ValueError, match=r"."):
        read_answer(data)


# --- the open model


def test_every_request_is_sent_and_counted():
    with answering(OK) as receiver:
        load = open_load(receiver.address, traffic().mixed(), (number / 1000 for number in range(200)))
    assert (load.sent, load.answered, load.failed, len(load.late)) == (200, 200, 0, 200)
    assert len(receiver.requests) == 200
    assert load.connections == receiver.connections < 200  # they are kept
    for headers, body in receiver.requests:
        assert headers["x-hub-signature-256"] == signature_of(body)


def test_arrivals_are_as_many_as_the_rate_says_and_at_random():
    times = list(arrivals(1000, 10, Random(3)))
    assert 9500 < len(times) < 10_500
    assert times == sorted(times)
    assert times[-1] < 10
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert sum(gap < 0.0005 for gap in gaps) > 3000  # not evenly


@pytest.mark.parametrize(
    ("answer", "told", "unanswered"),
    [
        (BUSY, "answered 503", 0),
        (b"", "closed without an answer", 10),
        (None, "no answer in 0.3 s", 10),
        (b"220 mail.example ESMTP\r\n", "what came is no HTTP/1.1 answer", 10),
    ],
)
def test_what_goes_wrong_is_counted_by_what_it_was(answer, told, unanswered):
    with answering(answer) as receiver:
        load = open_load(receiver.address, traffic().mixed(), iter([0.0] * 10), patience=0.3)
    assert load.errors == {told: 10}
    assert (load.answered, load.unanswered, load.requests) == (0, unanswered, 10)
    assert load.slow_share == unanswered / 10


def test_nobody_there_is_an_error_for_each_request():
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()
    load = open_load(address, traffic().mixed(), iter([0.0] * 3))
    assert load.errors == {"cannot connect: Connection refused": 3}


def test_a_host_that_there_is_not_is_said():
    with pytest.raises(ConfigError, match="there is no host"):
        open_load(("nobody.invalid", 80), traffic().mixed(), iter([0.0]))


def test_a_connection_that_the_receiver_closes_is_replaced():
    with answering(LAST) as receiver:
        load = open_load(receiver.address, traffic().mixed(), (number / 100 for number in range(20)))
    assert (load.answered, load.failed) == (20, 0)
    assert load.connections == 20


def test_requests_do_not_wait_for_answers():
    """All arrive while the first is not answered."""
    with answering(lambda _: 0.5) as receiver:
        load = open_load(receiver.address, traffic().mixed(), iter([0.0] * 30))
    assert load.answered == 30
    assert receiver.most_at_once == 30


def test_time_counts_from_when_a_request_was_due():
    """One stalled answer holds up those that come behind it on the only connection, and counts for each of them."""
    with answering(lambda number: 0.5 if number == 0 else OK) as receiver:
        load = open_load(receiver.address, traffic().mixed(), iter([0.0, 0.1, 0.2, 0.3]), most_connections=1)
    assert load.connections == 1
    for latency, due in zip(load.latencies, [0.0, 0.1, 0.2, 0.3], strict=True):
        assert latency >= 0.5 - due


def test_what_finds_no_connection_in_time_has_failed():
    with answering(None) as receiver:
        load = open_load(receiver.address, traffic().mixed(), iter([0.0] * 5), most_connections=2, patience=0.3)
    assert load.errors == {"no answer in 0.3 s": 5}
    assert len(receiver.requests) < 5


def test_a_generator_that_is_late_says_so():
    def slowly():
        for request in traffic().mixed():
            time.sleep(0.08)
            yield request

    with answering(OK) as receiver:
        load = open_load(receiver.address, slowly(), iter([0.0] * 5))
    measured = Measurement(rate=50, duration=1, load=load)
    judge(measured)
    assert measured.verdict == VOID
    assert "the load generator itself was" in measured.reasons[0]


# --- the closed model


def test_each_connection_waits_for_its_answer():
    with answering(OK) as receiver:
        load = closed_load(receiver.address, traffic().texts(), connections=4, duration=0.3)
        assert receiver.connections == 4
        assert receiver.most_at_once <= 4
    assert load.failed == 0
    assert load.answered > 4
    assert load.answered <= len(receiver.requests) <= load.answered + 4
    bodies = [body for _, body in receiver.requests]
    assert len(set(bodies)) == len(bodies)


def test_what_is_under_way_at_the_end_is_waited_for_and_not_counted():
    answered = []

    def slowly(number):
        time.sleep(0.3)
        answered.append(number)
        return OK

    with answering(slowly) as receiver:
        load = closed_load(receiver.address, traffic().texts(), connections=3, duration=0.1)
        assert len(answered) == len(receiver.requests) == 3
    assert (load.answered, load.failed) == (0, 0)


def test_what_warms_up_is_not_counted():
    with answering(lambda _: 0.05) as receiver:
        load = closed_load(receiver.address, traffic().texts(), connections=1, duration=0.2, warm_up=0.4, prepared=3)
    assert load.answered <= 5
    assert len(receiver.requests) > load.answered + 2
    assert load.per_second == load.answered / load.seconds


def test_errors_in_the_closed_model_are_counted():
    with answering(lambda number: BUSY if number % 2 else b"") as receiver:
        load = closed_load(receiver.address, traffic().texts(), connections=2, duration=0.3)
    assert load.answered == 0
    assert load.errors.keys() <= {
        "answered 503",
        "closed without an answer",
        "closed without an answer: Connection reset by peer",
    }
    assert load.errors["answered 503"]


# --- Meta's line


def loaded(*latencies, **more):
    load = Load(**more)
    load.latencies.extend(latencies)
    return load


def verdict(load, **more):
    measured = Measurement(rate=100, duration=1, load=load, **more)
    judge(measured)
    return measured.verdict, measured.reasons


def test_percentiles():
    times = [number / 100 for number in range(100, 0, -1)]
    assert [percentile(times, share) for share in (0.5, 0.95, 0.99, 1.0)] == [0.5, 0.95, 0.99, 1.0]
    assert percentile([0.7], 0.99) == 0.7
    assert percentile([], 0.5) is None


def test_the_line():
    assert verdict(loaded(*[0.25] * 100)) == (PASS, [])
    assert verdict(loaded(*[0.251] * 100)) == (FAIL, ["the median is over 250 ms"])
    assert verdict(loaded(*[0.1] * 199, 1.1)) == (PASS, [])
    assert verdict(loaded(*[0.1] * 99, 1.1)) == (FAIL, ["1.0% took over a second"])
    assert verdict(loaded(*[0.1] * 200, errors=Counter({"answered 503": 1}))) == (FAIL, ["1: answered 503"])
    assert verdict(loaded()) == (FAIL, ["nothing was answered 200"])
