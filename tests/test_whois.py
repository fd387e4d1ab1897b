"""Meta's networks from a registry of routes: a real whois server on loopback, with answers good and bad."""

import os
import socket
import stat
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from wa_hooks_cli.main import main
from wa_webhooks import whois
from wa_webhooks.errors import ConfigError, WhoisError
from wa_webhooks.networks import Networks

ROUTES = ("157.240.0.0/17", "157.240.128.0/17", "31.13.24.0/21", "2a03:2880::/32", "2a03:2880:f001::/48")
COLLAPSED = ["31.13.24.0/21", "157.240.0.0/16", "2a03:2880::/32"]


def described(*routes, origin="AS32934", end="\n\n\n"):
    """An answer as the registry gives it."""
    objects = (
        f"{'route6:' if ':' in route else 'route: '}        {route}\ndescr:          Facebook\n"
        f"origin:         {origin}\nmnt-by:         MAINT-{origin}\nsource:         RADB\n"
        for route in routes
    )
    return "\n".join(objects).rstrip("\n") + end


GOOD = described(*ROUTES)


class Server:
    """Answers `answer` to whoever asks; then closes, unless it `hangs`. `asked` is what it was asked."""

    def __init__(self, answer, *, hangs=False, slowly=0.0):
        self.asked = []
        self._answer = answer.encode("utf-8", "surrogateescape")
        self._hangs = hangs
        self._slowly = slowly
        self._done = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _serve(self):
        while not self._done.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                self.asked.append(lines.readline())
                try:
                    self._say(connection)
                except OSError:
                    continue  # it has gone

    def _say(self, connection):
        if self._slowly:
            for byte in self._answer:
                connection.sendall(bytes([byte]))
                if self._done.wait(self._slowly):
                    return
        connection.sendall(self._answer)
        if self._hangs:
            self._done.wait(10)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "meta.txt"


@pytest.fixture
def wa(capfd):
    def run(*arguments):
        code = main(["networks", *map(str, arguments)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_good_answer_is_checked_put_together_and_written(file, wa):
    before = datetime.now(UTC).replace(microsecond=0)
    with Server(GOOD) as server:
        code, out, err = wa("--refresh", file, "--whois", server.name)
    assert server.asked == [b"-i origin AS32934\r\n"]
    assert (code, out.split("\n")) == (0, [f"+ {network}" for network in COLLAPSED] + [""])
    assert err == f"wrote {file}: 3 networks (2 IPv4, 1 IPv6); 3 added, 0 removed\n"
    lines = file.read_text().splitlines()
    assert lines[1] == f"# source: {server.name}, -i origin AS32934"
    assert before <= datetime.fromisoformat(lines[2].removeprefix("# fetched: ")) <= datetime.now(UTC)
    assert lines[3:] == ["# ranges: 3", *COLLAPSED]
    listing = whois.read(file)
    assert list(map(str, listing.networks)) == COLLAPSED
    assert listing.networks == Networks.parse(file.read_text())
    assert list(file.parent.iterdir()) == [file]


def test_what_was_added_and_removed_is_told_in_networks_as_written(file, wa):
    file.write_text("# by hand\n31.13.24.0/21\n157.240.0.0/17 157.240.128.0/17\n66.220.144.0/20\n")
    with Server(GOOD) as server:
        code, out, err = wa("--refresh", file, "--whois", server.name)
        assert (code, out) == (0, "+ 2a03:2880::/32\n- 66.220.144.0/20\n")
        assert "1 added, 1 removed" in err
        assert wa("--refresh", file, "--whois", server.name)[:2] == (0, "")


BAD = {
    "nothing": ("", "it has no routes; it says: 'nothing'"),
    "no entries": (
        "%  No entries found for the selected source(s).\n\n\n",
        "it has no routes; it says: '%  No entries found for the selected source",
    ),
    "an error": ("\n%% ERROR: too many connections\n\n\n", "it has no routes; it says: '%% ERROR: too many"),
    "cut within a network": (GOOD[: GOOD.index("2a03:2880:f001") + 9], "belongs to nobody"),
    "cut within an object": (GOOD[: GOOD.rindex("source")], "it is cut off"),
    "cut between objects": (GOOD[: GOOD.index("route6:")], "it is cut off"),
    "cut at the very end": (GOOD[:-1], "it is cut off"),
    "garbage": ("\0\udcff\udc80 route: :: \n" * 1000, "it has no routes"),
    "garbage in a network": (described(*ROUTES, "31.13.24.0/21/7"), "'31.13.24.0/21/7' is no network"),
    "bits behind the prefix": (described(*ROUTES, "31.13.24.1/21"), "'31.13.24.1/21' is no network"),
    "everything": (described(*ROUTES, "0.0.0.0/0"), "'0.0.0.0/0' is no network that Meta could have"),
    "everything of version 6": (described(*ROUTES, "::/0"), "'::/0' is no network that Meta could have"),
    "half of everything": (described(*ROUTES, "128.0.0.0/1"), "'128.0.0.0/1'"),
    "absurdly wide": (described(*ROUTES, "2a00::/12"), "'2a00::/12'"),
    "private": (described(*ROUTES, "10.0.0.0/8"), "'10.0.0.0/8' is no network that Meta could have"),
    "loopback": (described(*ROUTES, "::1/128"), "'::1/128'"),
    "the other version": (GOOD.replace("route6:", "route: "), "'2a03:2880::/32' is no network that Meta could have"),
    "somebody else's": (GOOD + described("192.178.0.0/15", origin="AS15169"), "'192.178.0.0/15' belongs to AS15169"),
    "of two owners": (GOOD.replace("mnt-by: ", "origin: AS1\nmnt-by: ", 1), "belongs to AS1, AS32934"),
    "too much": ("x" * (9 * 2**20), "it is larger than 8 MiB"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("exists", [True, False])
def test_a_bad_answer_changes_nothing(file, wa, case, exists):
    answer, why = BAD[case]
    if exists:
        file.write_text("# the good one\n31.13.24.0/21\n")
    with Server(answer) as server:
        code, out, err = wa("--refresh", file, "--whois", server.name)
    assert (code, out) == (3, "")
    assert err.startswith("wa-hooks: the answer cannot be used: ")
    assert why in err
    assert "The file stays as it was." in err
    assert (file.read_text() if exists else file.exists()) == ("# the good one\n31.13.24.0/21\n" if exists else False)
    assert len(list(file.parent.iterdir())) == exists


@pytest.mark.parametrize("server", [Server(GOOD, hangs=True), Server("", hangs=True), Server(GOOD, slowly=0.05)])
def test_a_server_that_hangs_is_given_up(file, wa, server):
    file.write_text("31.13.24.0/21\n")
    with server:
        begun = time.monotonic()
        code, _, err = wa("--refresh", file, "--whois", server.name, "--timeout", "0.5")
        assert time.monotonic() - begun < 5
    assert (code, file.read_text()) == (3, "31.13.24.0/21\n")
    assert "no complete answer in time" in err


def test_a_server_that_is_not_there(file, wa):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        name = f"127.0.0.1:{gone.getsockname()[1]}"
    code, _, err = wa("--refresh", file, "--whois", name)
    assert code == 3
    assert f"cannot ask 127.0.0.1 port {name.partition(':')[2]}: Connection refused" in err
    assert "Whois needs TCP port" in err
    assert not file.exists()


def test_a_server_on_ipv6_and_one_that_ends_lines_as_protocols_do(file):
    six = Server(GOOD.replace("\n", "\r\n"))
    six._socket.close()
    six._socket = socket.create_server(("::1", 0), family=socket.AF_INET6)
    six.name = f"[::1]:{six._socket.getsockname()[1]}"
    with six:
        assert len(whois.refresh(file, server=six.name).networks) == 3


@pytest.mark.parametrize("name", ["", "a b", "host:port", "host:", "[::1", "host:123456", "http://host"])
def test_a_name_that_is_no_server(file, name):
    with pytest.raises(ConfigError, match="is no server"):
        whois.refresh(file, server=name)


def test_an_answer_that_lacks_most_of_the_file_needs_consent(file, wa):
    old = "31.13.24.0/21\n66.220.144.0/20\n69.63.176.0/20\n"
    file.write_text(old)
    with Server(GOOD) as server:
        code, _, err = wa("--refresh", file, "--whois", server.name)
        assert (code, file.read_text()) == (3, old)
        assert f"the answer lacks 2 of the 3 networks in {file}" in err
        assert "repeat with --yes" in err
        code, out, _ = wa("--refresh", file, "--whois", server.name, "--yes")
        assert (code, out.count("- ")) == (0, 2)
    assert list(map(str, whois.read(file).networks)) == COLLAPSED


def test_a_file_of_something_else_is_not_overwritten(file, wa):
    file.write_text("WHATSAPP_APP_SECRET=hidden\n")
    with Server(GOOD) as server:
        code, _, err = wa("--refresh", file, "--whois", server.name)
    assert (code, file.read_text(), server.asked) == (2, "WHATSAPP_APP_SECRET=hidden\n", [])
    assert "line 1" in err


def test_an_empty_file_is_filled_and_keeps_its_mode_and_links_stay(file, tmp_path):
    file.touch(mode=0o640)
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    with Server(GOOD) as server:
        whois.refresh(link, server=server.name)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert len(whois.read(file).networks) == 3


def test_a_folder_that_is_not_there(tmp_path, wa):
    with Server(GOOD) as server:
        code, _, err = wa("--refresh", tmp_path / "none" / "meta.txt", "--whois", server.name)
    assert code == 2
    assert "cannot write" in err


def test_what_a_file_holds(file, wa):
    then = datetime.now(UTC) - timedelta(days=31, hours=1)
    file.write_text(f"# source: example, -i x\n# fetched: {then:%Y-%m-%dT%H:%M:%SZ}\n::1\n10.0.0.0/8")
    code, out, err = wa(file)
    assert (code, out) == (0, "10.0.0.0/8\n::1/128\n")
    assert err.splitlines() == [
        f"2 networks (1 IPv4, 1 IPv6) from example, -i x, of {then:%Y-%m-%d}",
        f"That is long ago; refresh it: wa-hooks networks --refresh {file}",
    ]
    file.write_text("10.0.0.0/8\n")
    assert wa(file) == (0, "10.0.0.0/8\n", f"1 network (1 IPv4, 0 IPv6), of {datetime.now(UTC):%Y-%m-%d}\n")
    assert "none.txt: No such file" in wa("none.txt")[2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no networks"),
        (b"# fetched: yesterday\n", "holds no networks"),
        (b"\xff\xfe", "it is not text"),
        (b"a\n", "line 1"),
        (None, "No such file"),
    ],
)
def test_a_file_that_holds_none(file, content, said):
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        whois.read(file)


def test_a_time_that_is_none_is_that_of_the_file(file):
    file.write_text("# fetched: yesterday\n10.0.0.0/8\n")
    os.utime(file, (0, 86400))
    assert whois.read(file).fetched == datetime(1970, 1, 2, tzinfo=UTC)


def test_without_a_file_it_says_where_the_networks_come_from(wa, file):
    code, out, _ = wa()
    assert code == 0
    assert "whois -h whois.radb.net -- '-i origin AS32934'" in out
    assert "wa-hooks networks --refresh" in out
    assert wa(file, "--refresh", file)[0] == 2


def test_a_reader_never_finds_half_a_file(file):
    """Readers at work while it is written again and again."""
    found = set()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            found.add(len(whois.read(file).networks))

    with Server(GOOD) as server:
        whois.refresh(file, server=server.name)
        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(50):
            whois.refresh(file, server=server.name)
        stop.set()
        reader.join(10)
    assert found == {3}
    assert not [name for name in file.parent.iterdir() if name != file]


def test_errors_are_ours_and_pass_by_themselves(file):
    with Server("") as server, pytest.raises(WhoisError) as failed:
        whois.refresh(file, server=server.name)
    assert failed.value.transient
