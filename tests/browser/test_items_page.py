"""The items sample's page, used as people would: one, two at once, with bad input and with a network that is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.browser.conftest import Person, Sample

pytestmark = pytest.mark.browser
SAMPLE = "items"
NAME, QUANTITY = "#name", "#quantity"


@pytest.fixture(autouse=True)
def empty_list(sample: Sample) -> Iterator[None]:
    client = sample.process.client("dynamodb")
    for row in sample.table("items"):
        client.delete_item(TableName="items", Key={"list": row["list"], "id": row["id"]})
    yield
    sample.reconnect()


def stored(sample: Sample) -> dict[str, int]:
    return {row["name"]["S"]: int(row["quantity"]["N"]) for row in sample.table("items")}


def opened(one: Person, sample: Sample) -> Person:
    one.page.goto(sample.page)
    live(one)
    return one


def live(one: Person) -> None:
    one.see("#state").to_have_text("Live")
    one.see("#items").to_have_attribute("aria-busy", "false")


def add(one: Person, name: str, quantity: int | None = None) -> None:
    one.page.fill(NAME, name)
    if quantity is not None:
        one.page.fill(QUANTITY, str(quantity))
    one.page.press(NAME, "Enter")
    one.see(NAME).to_have_value("")


def names(one: Person, *expected: str) -> None:
    one.see("#items .text").to_have_text(list(expected))


def test_items_are_added_kept_and_taken_off(sample: Sample, person: Callable[..., Person]) -> None:
    ann = opened(person(), sample)
    ann.see("#empty").to_be_visible()
    ann.see(NAME).to_be_focused()
    ann.shot("items-empty-desktop")
    ann.page.keyboard.type("Sourdough bread")
    ann.page.keyboard.press("Enter")
    names(ann, "Sourdough bread")
    ann.see("#empty").to_be_hidden()
    ann.see(NAME).to_be_focused()
    add(ann, "Lemons <b>not bold</b> & “quotes”", 6)
    add(ann, "Batteries, the small ones that go into the thermometer in the kitchen", 12)
    ann.see("#items .amount").to_have_text(["12×", "6×", "1×"])
    ann.see("#count").to_have_text("3 to buy")
    ann.shot("items-desktop")
    ann.page.reload()
    live(ann)
    ann.see("#items .text").to_have_count(3)
    assert stored(sample)["Lemons <b>not bold</b> & “quotes”"] == 6
    ann.page.get_by_role("button", name="Take Sourdough bread off the list").click()
    ann.see("#items .text").to_have_count(2)
    ann.see("#count").to_have_text("2 to buy")
    assert "Sourdough bread" not in stored(sample)


def test_two_people_see_each_other_s_changes(sample: Sample, person: Callable[..., Person]) -> None:
    ann, bob = opened(person(), sample), opened(person("phone", "dark"), sample)
    add(ann, "Coffee")
    names(bob, "Coffee")
    add(bob, "Oat milk", 2)
    names(ann, "Oat milk", "Coffee")
    bob.shot("items-phone-dark")
    ann.page.get_by_role("button", name="Take Coffee off the list").click()
    names(bob, "Oat milk")
    bob.page.get_by_role("button", name="Take Oat milk off the list").tap()
    names(ann)
    ann.see("#empty").to_be_visible()
    bob.shot("items-empty-phone-dark")


def test_input_that_is_no_item_is_refused_with_a_reason(sample: Sample, person: Callable[..., Person]) -> None:
    ann = opened(person("phone"), sample)
    ann.page.press(NAME, "Enter")
    ann.see("#problem").to_have_text("Give the item a name.")
    ann.see(NAME).to_have_attribute("aria-invalid", "true")
    ann.shot("items-refused-phone")
    ann.page.fill(NAME, "Eggs")
    ann.see("#problem").to_be_hidden()
    for quantity in ("0", "1000", "1.5", ""):
        ann.page.fill(QUANTITY, quantity)
        ann.page.press(QUANTITY, "Enter")
        ann.see("#problem").to_have_text("The quantity is a whole number from 1 to 999.")
        ann.see(QUANTITY).to_be_focused()
    # The page stops at 80 characters; who goes around it hears the function's own words.
    ann.page.evaluate("document.querySelector('#name').removeAttribute('maxlength')")
    ann.page.fill(NAME, "x" * 81)
    ann.page.fill(QUANTITY, "2")
    ann.page.press(NAME, "Enter")
    ann.see("#problem").to_have_text("The name takes up to 80 characters, in one line.")
    ann.see(NAME).to_have_value("x" * 81)
    assert stored(sample) == {}


def test_the_list_is_used_by_keyboard_alone(sample: Sample, person: Callable[..., Person]) -> None:
    ann = opened(person(), sample)
    for name in ("Third", "Second", "First"):
        ann.page.keyboard.type(name)
        ann.page.keyboard.press("Enter")
        ann.see(NAME).to_have_value("")
    for _press in range(3):  # quantity, button, the first item
        ann.page.keyboard.press("Tab")
    ann.see("#items li:nth-child(1) button").to_be_focused()
    ann.page.keyboard.press("ArrowDown")
    ann.see("#items li:nth-child(2) button").to_be_focused()
    ann.shot("items-keyboard-desktop")
    ann.page.keyboard.press("Delete")
    names(ann, "First", "Third")
    ann.see("#items li:nth-child(2) button").to_be_focused()
    ann.page.keyboard.press("Enter")
    names(ann, "First")
    ann.page.keyboard.press("Delete")
    names(ann)
    ann.see(NAME).to_be_focused()


def test_what_was_missed_while_the_network_was_lost_is_there_afterwards(sample: Sample, person: Callable[..., Person]) -> None:
    ann = opened(person("desktop", "dark"), sample)
    add(ann, "Bread")
    add(ann, "Butter")
    sample.network.cut()
    ann.see("#state").to_have_text("Reconnecting")
    ann.page.fill(NAME, "Jam")
    ann.page.press(NAME, "Enter")
    ann.see("#problem").to_contain_text("What you wrote is still here.")
    ann.see(NAME).to_have_value("Jam")
    ann.page.get_by_role("button", name="Take Butter off the list").click()
    ann.see("#notice").to_contain_text("“Butter” is still on the list.")
    ann.shot("items-lost-desktop-dark")
    sample.request("POST", "/items", b'{"name": "Honey"}')
    (bread,) = [row["id"]["S"] for row in sample.table("items") if row["name"]["S"] == "Bread"]
    sample.request("DELETE", f"/items/{bread}")
    sample.network.mend()
    live(ann)
    names(ann, "Honey", "Butter")
    ann.page.press(NAME, "Enter")
    names(ann, "Jam", "Honey", "Butter")


def test_a_page_that_opens_without_the_api_says_so_and_tries_again(sample: Sample, person: Callable[..., Person]) -> None:
    ann = person()
    ann.page.route("**/items", lambda route: route.fulfill(status=503, json={"message": "Service Unavailable"}))
    ann.page.goto(sample.page)
    ann.see("#notice").to_contain_text("The list could not be read. The server has a problem.")
    ann.shot("items-unavailable-desktop")
    ann.page.unroute("**/items")
    ann.page.get_by_role("button", name="Try again").click()
    ann.see("#notice").to_be_hidden()
    ann.see("#empty").to_be_visible()


def test_a_long_list_comes_in_pages(sample: Sample, person: Callable[..., Person]) -> None:
    client = sample.process.client("dynamodb")
    for number in range(60):
        item = {"list": {"S": "shopping"}, "id": {"S": f"{number:013d}-00000000"}, "name": {"S": f"Item {number}"}, "quantity": {"N": "1"}}
        client.put_item(TableName="items", Item=item)
    ann = opened(person(), sample)
    ann.see("#items li").to_have_count(50)
    ann.see("#count").to_have_text("50 and more to buy")
    ann.page.get_by_role("button", name="Show older items").click()
    ann.see("#items li").to_have_count(60)
    ann.see("#older").to_be_hidden()
    ann.see("#items li:last-child .text").to_have_text("Item 0")


def test_the_page_lives_on_when_the_daemon_is_killed(sample: Sample, person: Callable[..., Person]) -> None:
    ann, bob = opened(person(), sample), opened(person(), sample)
    add(ann, "Flour")
    sample.restart()
    live(ann)
    live(bob)
    names(ann, "Flour")
    add(bob, "Sugar")
    names(ann, "Sugar", "Flour")
    sample.process.until(lambda: len(sample.table("connections")) == 2, "the connections of the killed daemon are forgotten")
