"""The chat sample's page, used as people would: two in a room and one in another, with networks that are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.conftest import Person, Sample

pytestmark = pytest.mark.browser
SAMPLE = "chat"
WORDS, TEXT = "#log .text", "#text"


@pytest.fixture(autouse=True)
def network(sample: Sample) -> Iterator[None]:
    yield
    sample.reconnect()


def joined(one: Person, sample: Sample, name: str, room: str) -> Person:
    one.page.goto(f"{sample.page}/#{room}")
    one.page.fill("#name", name)
    one.page.press("#name", "Enter")
    connected(one)
    return one


def connected(one: Person) -> None:
    one.see("#state").to_have_attribute("data-state", "open")


def say(one: Person, text: str) -> None:
    one.page.fill(TEXT, text)
    one.page.press(TEXT, "Enter")
    one.see(TEXT).to_have_value("")


def hears(one: Person, *expected: str) -> None:
    """All that was said, in order, and confirmed by the server."""
    one.see(WORDS).to_have_text(list(expected))
    one.see("#log .pending").to_have_count(0)


def in_room(sample: Sample, room: str) -> list[str]:
    return sorted(row["name"]["S"] for row in sample.table("people") if row["room"]["S"] == room)


def said(sample: Sample, room: str) -> list[str]:
    rows = sorted((row["id"]["S"], row["text"]["S"]) for row in sample.table("messages") if row["room"]["S"] == room)
    return [text for _id, text in rows]


def test_people_talk_in_a_room_and_are_alone_in_another(sample: Sample, person: Callable[..., Person]) -> None:
    ann = person()
    ann.page.goto(sample.page)
    ann.see("#name").to_be_focused()
    ann.shot("chat-door-desktop")
    ann.page.keyboard.type("Ann")
    ann.page.keyboard.press("Tab")
    ann.page.keyboard.type("Kitchen")
    ann.page.keyboard.press("Enter")
    connected(ann)
    ann.see("#title").to_have_text("kitchen")
    ann.see("#empty").to_be_visible()
    ann.see(TEXT).to_be_focused()
    bob, cid = joined(person("phone", "dark"), sample, "Bob", "kitchen"), joined(person(), sample, "Cid", "garden")
    ann.see("#people li").to_contain_text(["Ann", "Bob"])
    bob.see("#who").to_have_text("2 here")
    ann.page.keyboard.type("Is there any coffee left?")
    ann.page.keyboard.press("Enter")
    hears(bob, "Is there any coffee left?")
    say(bob, "A little. I can make a fresh pot, if you bring\nthe <b>milk</b> & sugar.")
    hears(ann, "Is there any coffee left?", "A little. I can make a fresh pot, if you bring\nthe <b>milk</b> & sugar.")
    ann.see("#log .mine .text").to_have_text(["Is there any coffee left?"])
    ann.see("#log li:not(.mine) .by").to_contain_text(["Bob"])
    say(cid, "The roses are out")
    hears(cid, "The roses are out")
    cid.see("#people li").to_have_count(1)
    say(ann, "Deal.")
    hears(bob, "Is there any coffee left?", "A little. I can make a fresh pot, if you bring\nthe <b>milk</b> & sugar.", "Deal.")
    for one, name in ((ann, "desktop"), (bob, "phone-dark")):
        one.shot(f"chat-room-{name}")
    bob.page.tap("#who")
    bob.see("#people").to_be_visible()
    bob.shot("chat-people-phone-dark")
    ann.page.click("#leave")
    ann.see("#door").to_be_visible()
    bob.see("#people li").to_contain_text(["Bob"])


def test_whoever_comes_later_reads_what_was_said_before(sample: Sample, person: Callable[..., Person]) -> None:
    ann = joined(person(), sample, "Ann", "history")
    said = [f"Message {number}" for number in range(1, 56)]
    for text in said:
        say(ann, text)
    hears(ann, *said)
    bob = joined(person("phone"), sample, "Bob", "history")
    hears(bob, *said[5:])
    bob.see("#log li:last-child").to_be_in_viewport()
    bob.shot("chat-history-phone")
    bob.page.evaluate("document.querySelector('#log').scrollTop = 0")
    say(ann, "And one more")
    bob.see("#newest").to_be_visible()
    bob.shot("chat-newest-phone")
    bob.page.tap("#newest")
    bob.see("#log li:last-child").to_be_in_viewport()
    ann.page.reload()
    ann.page.press("#name", "Enter")
    connected(ann)
    ann.see("#log .mine").to_have_count(50)


def test_what_is_written_while_the_network_is_lost_is_said_when_it_is_back_once(sample: Sample, person: Callable[..., Person]) -> None:
    ann, bob = joined(person("desktop", "dark"), sample, "Ann", "storm"), joined(person(), sample, "Bob", "storm")
    say(ann, "Before")
    hears(bob, "Before")
    sample.network.cut()
    for one in (ann, bob):
        one.see("#state").to_have_attribute("data-state", "lost")
    say(ann, "During")
    ann.see("#log .pending .text").to_have_text(["During"])
    ann.shot("chat-lost-desktop-dark")
    sample.network.mend()
    connected(ann)
    connected(bob)
    say(bob, "After")
    for one in (ann, bob):
        one.see(WORDS).to_have_count(3)
        one.see("#log .pending").to_have_count(0)
        assert sorted(one.page.locator(WORDS).all_text_contents()) == ["After", "Before", "During"]
        one.see("#people li").to_have_count(2)


def test_what_was_said_though_its_confirmation_was_lost_is_said_once(sample: Sample, person: Callable[..., Person]) -> None:
    ann = joined(person(), sample, "Ann", "echo")
    sample.network.freeze(answers_alone=True)
    say(ann, "Once")
    ann.see("#log .pending .text").to_have_text(["Once"])
    sample.process.until(lambda: said(sample, "echo"), "the message is in the table")
    sample.network.cut()
    sample.network.mend()
    connected(ann)
    hears(ann, "Once")
    say(ann, "Then this")
    hears(ann, "Once", "Then this")
    assert said(sample, "echo") == ["Once", "Then this"]


def test_a_network_that_is_silently_dead_is_noticed(sample: Sample, person: Callable[..., Person]) -> None:
    ann = person()
    ann.page.clock.install()
    joined(ann, sample, "Ann", "silence")
    sample.network.freeze()
    ann.page.clock.run_for(26_000)  # the heartbeat is sent, and nobody answers
    ann.see("#state").to_have_attribute("data-state", "open")
    ann.page.clock.run_for(9_000)
    ann.see("#state").not_to_have_attribute("data-state", "open")
    sample.network.thaw()
    ann.page.clock.run_for(20_000)
    connected(ann)
    say(ann, "Hello again")
    hears(ann, "Hello again")


def test_a_page_that_is_offline_says_so_and_comes_back(sample: Sample, person: Callable[..., Person]) -> None:
    ann = joined(person(), sample, "Ann", "offline")
    ann.page.context.set_offline(True)
    ann.see("#state").not_to_have_attribute("data-state", "open")
    say(ann, "Written offline")
    ann.page.context.set_offline(False)
    connected(ann)
    hears(ann, "Written offline")


def test_the_talk_goes_on_when_the_daemon_is_killed(sample: Sample, person: Callable[..., Person]) -> None:
    ann, bob = joined(person(), sample, "Ann", "crash"), joined(person(), sample, "Bob", "crash")
    say(ann, "Kept")
    hears(bob, "Kept")
    sample.restart()
    connected(ann)
    connected(bob)
    say(bob, "Still here")
    hears(ann, "Kept", "Still here")
    sample.process.until(lambda: in_room(sample, "crash") == ["Ann", "Bob"], "the connections of the killed daemon have left the room")
    ann.see("#people li").to_have_count(2)


def test_what_the_server_does_not_take_is_kept_for_the_writer(sample: Sample, person: Callable[..., Person]) -> None:
    ann = joined(person(), sample, "Ann", "refusals")
    ann.page.evaluate("document.querySelector('#text').removeAttribute('maxlength')")
    ann.page.fill(TEXT, "x" * 2001)
    ann.page.press(TEXT, "Enter")
    ann.see("#refusal").to_have_text("The text takes 1 to 2000 characters.")
    ann.see(TEXT).to_have_value("x" * 2001)
    ann.see("#log li").to_have_count(0)
    say(ann, "Shorter")
    hears(ann, "Shorter")
    ann.see("#refusal").to_be_hidden()


def test_who_closes_the_window_leaves_the_room(sample: Sample, person: Callable[..., Person]) -> None:
    ann, bob = joined(person(), sample, "Ann", "hall"), joined(person(), sample, "Bob", "hall")
    ann.see("#people li").to_have_count(2)
    bob.page.close()
    ann.see("#people li").to_have_count(1)


@pytest.mark.parametrize(
    ("name", "room", "field"), [("", "kitchen", "#name"), ("   ", "kitchen", "#name"), ("Ann", "", "#room"), ("Ann", "ки́хня", "#room")]
)
def test_who_has_no_name_or_names_no_room_does_not_come_in(sample: Sample, person: Callable[..., Person], name: str, room: str, field: str) -> None:
    ann = person("phone")
    ann.page.goto(sample.page)
    ann.page.fill("#name", name)
    ann.page.fill("#room", room)
    ann.page.press("#room", "Enter")
    ann.see("#problem").to_be_visible()
    ann.see(field).to_be_focused()
    ann.see(field).to_have_attribute("aria-invalid", "true")
    if room and name:
        ann.shot("chat-refused-phone")


def test_what_no_page_would_send_is_refused_in_words(sample: Sample, person: Callable[..., Person]) -> None:
    ann = person()
    ann.page.goto(sample.page)
    refusals: list[Any] = ann.page.evaluate(
        """async () => {
            const socket = new WebSocket("ws://" + location.host + "/live");
            await new Promise((resolve) => (socket.onopen = resolve));
            const heard = [];
            const secret = "0123456789abcdef";
            for (const sent of [
                "no JSON", "[]", '{"action": "fly"}', '{"action": "say", "text": "x", "ref": "0123456789abcdef"}', '{"action": "join"}',
                JSON.stringify({ action: "join", room: "../..", name: "Ann", secret }),
                JSON.stringify({ action: "join", room: "kitchen", name: "A\\nB", secret }),
                JSON.stringify({ action: "join", room: "kitchen", name: {}, secret }),
                '{"action": "join", "room": "kitchen", "name": "\\\\ud800", "secret": "0123456789abcdef"}',
                JSON.stringify({ action: "join", room: "kitchen", name: "A".repeat(31), secret }),
            ]) {
                const answer = new Promise((resolve) => (socket.onmessage = (event) => resolve(JSON.parse(event.data))));
                socket.send(sent);
                heard.push(await answer);
            }
            socket.close();
            return heard;
        }"""
    )
    assert [answer["type"] for answer in refusals] == ["refused"] * 10, refusals
    assert all(answer["text"] for answer in refusals)
