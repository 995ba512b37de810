"""Push rules: the predefined ones, one's own, their order, what is refused, and /sync."""

import threading

import pytest

from myelin import quote

V3 = "/_matrix/client/v3/"
BASE = V3 + "pushrules/"
KINDS = ["override", "content", "room", "sender", "underride"]

OVERRIDE = [".m.rule.master", ".m.rule.suppress_notices", ".m.rule.invite_for_me", ".m.rule.member_event",
            ".m.rule.is_user_mention", ".m.rule.contains_display_name", ".m.rule.is_room_mention", ".m.rule.roomnotif",
            ".m.rule.tombstone", ".m.rule.reaction", ".m.rule.room.server_acl", ".m.rule.suppress_edits"]
UNDERRIDE = [".m.rule.call", ".m.rule.encrypted_room_one_to_one", ".m.rule.room_one_to_one", ".m.rule.message",
             ".m.rule.encrypted"]


def rule(kind, rule_id, rest=""):
    return BASE + "global/%s/%s%s" % (kind, quote(rule_id), rest)


def ids(client, kind):
    return [r["rule_id"] for r in client.ok("GET", BASE)["global"][kind]]


def own(client, kind):
    return [i for i in ids(client, kind) if not i.startswith(".")]


def put(client, kind, rule_id, query="", **body):
    body.setdefault("actions", ["notify"])
    if kind == "content":
        body.setdefault("pattern", "cake")
    client.ok("PUT", rule(kind, rule_id, query), body)


def pushed(answer):
    """The m.push_rules of a sync; None when there is none."""
    found = [e["content"] for e in answer.get("account_data", {}).get("events", []) if e["type"] == "m.push_rules"]
    assert len(found) < 2
    return found[0] if found else None


def refused(client, method, path, body, status, errcode):
    got, answer = client.call(method, path, body)
    assert (got, answer["errcode"]) == (status, errcode), (method, path, body, answer)


def test_the_predefined_rules(hs):
    alice = hs.register("alice")
    rules = alice.ok("GET", BASE)
    assert list(rules) == ["global"] and sorted(rules["global"]) == sorted(KINDS)
    assert alice.ok("GET", BASE + "global/") == rules["global"]
    assert alice.ok("GET", BASE[:-1]) == rules and alice.ok("GET", BASE + "global") == rules["global"]
    assert ids(alice, "override") == OVERRIDE and ids(alice, "underride") == UNDERRIDE
    assert ids(alice, "content") == [".m.rule.contains_user_name"]
    assert ids(alice, "room") == ids(alice, "sender") == []
    for kind in KINDS:
        for r in rules["global"][kind]:
            assert r["default"] is True and r["enabled"] is (r["rule_id"] != ".m.rule.master")
            assert alice.ok("GET", rule(kind, r["rule_id"])) == r


def test_the_predefined_rules_name_the_user(hs):
    alice = hs.register("alice")
    assert alice.ok("GET", rule("override", ".m.rule.invite_for_me")) == {
        "rule_id": ".m.rule.invite_for_me", "default": True, "enabled": True,
        "conditions": [{"kind": "event_match", "key": "type", "pattern": "m.room.member"},
                       {"kind": "event_match", "key": "content.membership", "pattern": "invite"},
                       {"kind": "event_match", "key": "state_key", "pattern": alice.user_id}],
        "actions": ["notify", {"set_tweak": "sound", "value": "default"}]}
    assert alice.ok("GET", rule("override", ".m.rule.is_user_mention"))["conditions"] == [
        {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": alice.user_id}]
    assert alice.ok("GET", rule("override", ".m.rule.is_room_mention"))["conditions"] == [
        {"kind": "event_property_is", "key": "content.m\\.mentions.room", "value": True},
        {"kind": "sender_notification_permission", "key": "room"}]
    assert alice.ok("GET", rule("override", ".m.rule.suppress_edits"))["conditions"] == [
        {"kind": "event_property_is", "key": "content.m\\.relates_to.rel_type", "value": "m.replace"}]
    localpart = alice.user_id[1:].split(":")[0]
    assert alice.ok("GET", rule("content", ".m.rule.contains_user_name"))["pattern"] == localpart


@pytest.mark.parametrize("kind,body", [
    ("override", {"conditions": [{"kind": "event_match", "key": "content.body", "pattern": "beer"},
                                 {"kind": "room_member_count", "is": "<=10"}]}),
    ("override", {"conditions": [{"kind": "event_property_is", "key": "a", "value": None},
                                 {"kind": "event_property_contains", "key": "a", "value": 5},
                                 {"kind": "sender_notification_permission", "key": "room"},
                                 {"kind": "contains_display_name"}, {"kind": "org.example.mine", "x": [1]}]}),
    ("underride", {"conditions": []}),
    ("content", {"pattern": "cake*lie"}),
    ("room", {}),
    ("sender", {}),
])
def test_a_rule_of_ones_own(hs, kind, body):
    alice, bob = hs.register("alice"), hs.register("bob")
    path = rule(kind, "!x ü:example.org")
    refused(alice, "GET", path, None, 404, "M_NOT_FOUND")
    alice.ok("PUT", path, {"actions": ["notify", {"set_tweak": "sound", "value": "bing"}], "unknown": 1, **body})
    assert alice.ok("GET", path) == {"rule_id": "!x ü:example.org", "default": False, "enabled": True,
                                     "actions": ["notify", {"set_tweak": "sound", "value": "bing"}], **body}
    refused(bob, "GET", path, None, 404, "M_NOT_FOUND")
    refused(alice, "GET", rule("room" if kind != "room" else "sender", "!x ü:example.org"), None, 404, "M_NOT_FOUND")
    assert alice.ok("DELETE", path) == {}
    refused(alice, "DELETE", path, None, 404, "M_NOT_FOUND")
    refused(alice, "GET", path, None, 404, "M_NOT_FOUND")


def test_an_override_without_conditions_has_none(hs):
    alice = hs.register("alice")
    put(alice, "override", "all")
    assert alice.ok("GET", rule("override", "all"))["conditions"] == []


def test_historical_actions_are_kept(hs):
    alice = hs.register("alice")
    put(alice, "room", "!a:b", actions=["dont_notify", "coalesce"])
    assert alice.ok("GET", rule("room", "!a:b", "/actions")) == {"actions": ["dont_notify", "coalesce"]}


@pytest.mark.parametrize("kind,rule_id", [("room", "!a:b"), ("override", ".m.rule.master"), ("underride", ".m.rule.message")])
def test_enabled_and_actions(hs, kind, rule_id):
    alice = hs.register("alice")
    if not rule_id.startswith("."):
        put(alice, kind, rule_id)
    before = alice.ok("GET", rule(kind, rule_id))
    for enabled in (True, False, False, True):
        assert alice.ok("PUT", rule(kind, rule_id, "/enabled"), {"enabled": enabled}) == {}
        assert alice.ok("GET", rule(kind, rule_id, "/enabled")) == {"enabled": enabled}
    actions = ["notify", {"set_tweak": "highlight"}]
    assert alice.ok("PUT", rule(kind, rule_id, "/actions"), {"actions": actions}) == {}
    assert alice.ok("GET", rule(kind, rule_id, "/actions")) == {"actions": actions}
    assert alice.ok("GET", rule(kind, rule_id)) == {**before, "enabled": True, "actions": actions}


def test_a_changed_rule_keeps_its_place_and_stays_disabled(hs):
    alice = hs.register("alice")
    for i in "abc":
        put(alice, "content", i)
    alice.ok("PUT", rule("content", "b", "/enabled"), {"enabled": False})
    put(alice, "content", "b", pattern="pie")
    changed = alice.ok("GET", rule("content", "b"))
    assert changed["pattern"] == "pie" and changed["enabled"] is False
    assert own(alice, "content") == ["c", "b", "a"]


def test_the_order(hs):
    alice = hs.register("alice")
    put(alice, "override", "a")
    put(alice, "override", "b")
    assert ids(alice, "override") == [OVERRIDE[0], "b", "a"] + OVERRIDE[1:]
    put(alice, "override", "c", "?after=b")
    assert own(alice, "override") == ["b", "c", "a"]
    put(alice, "override", "d", "?before=a")
    assert own(alice, "override") == ["b", "c", "d", "a"]
    put(alice, "override", "e", "?before=c&after=a")
    assert own(alice, "override") == ["b", "e", "c", "d", "a"]
    put(alice, "override", "b", "?after=a")
    assert own(alice, "override") == ["e", "c", "d", "a", "b"]
    put(alice, "override", "b", "?before=e")
    assert own(alice, "override") == ["b", "e", "c", "d", "a"]
    for other in ("?before=none", "?after=none", "?before=.m.rule.call", "?after=.m.rule.master", "?before=b"):
        refused(alice, "PUT", rule("override", "b", other), {"actions": []}, 400, "M_UNKNOWN")
    assert own(alice, "override") == ["b", "e", "c", "d", "a"]
    put(alice, "underride", "u")
    assert ids(alice, "underride") == ["u"] + UNDERRIDE


@pytest.mark.parametrize("method,kind,rest,body", [
    ("GET", "wrong", "x", None), ("PUT", "wrong", "x", {"actions": []}), ("DELETE", "wrong", "x", None),
    ("GET", "wrong", "x/enabled", None), ("PUT", "wrong", "x/enabled", {"enabled": True}),
    ("GET", "wrong", "x/actions", None), ("PUT", "wrong", "x/actions", {"actions": []}),
    ("PUT", "room", ".mine", {"actions": []}), ("PUT", "override", ".m.rule.master", {"actions": []}),
    ("PUT", "room", "a%2Fb", {"actions": []}), ("PUT", "room", "a%5Cb", {"actions": []}),
    ("PUT", "room", "a%0Ab", {"actions": []}), ("PUT", "room", "x" * 256, {"actions": []}),
    ("DELETE", "override", ".m.rule.master", None),
])
def test_kinds_and_ids_that_are_refused(hs, method, kind, rest, body):
    alice = hs.register("alice")
    refused(alice, method, BASE + "global/%s/%s" % (kind, rest), body, 400, "M_INVALID_PARAM")


@pytest.mark.parametrize("method,rest,body", [
    ("GET", "", None), ("DELETE", "", None), ("GET", "/enabled", None), ("PUT", "/enabled", {"enabled": True}),
    ("GET", "/actions", None), ("PUT", "/actions", {"actions": []}),
])
@pytest.mark.parametrize("rule_id", ["none", ".m.rule.none", ".m.rule.message"])
def test_rules_that_are_not_there(hs, method, rest, body, rule_id):
    alice = hs.register("alice")
    refused(alice, method, rule("override", rule_id, rest), body, 404, "M_NOT_FOUND")


COUNT = {"kind": "room_member_count"}


@pytest.mark.parametrize("kind,body,errcode", [
    ("room", {}, "M_MISSING_PARAM"),
    ("room", {"actions": "notify"}, "M_BAD_JSON"),
    ("room", {"actions": [1]}, "M_BAD_JSON"),
    ("room", {"actions": ["shout"]}, "M_INVALID_PARAM"),
    ("room", {"actions": [{}]}, "M_MISSING_PARAM"),
    ("room", {"actions": [{"set_tweak": 1}]}, "M_BAD_JSON"),
    ("room", {"actions": ["notify"] * 101}, "M_INVALID_PARAM"),
    ("content", {"actions": []}, "M_MISSING_PARAM"),
    ("content", {"actions": [], "pattern": 1}, "M_BAD_JSON"),
    ("content", {"actions": [], "pattern": ""}, "M_INVALID_PARAM"),
    ("override", {"conditions": []}, "M_MISSING_PARAM"),
    ("override", {"actions": [], "conditions": {}}, "M_BAD_JSON"),
    ("override", {"actions": [], "conditions": [1]}, "M_BAD_JSON"),
    ("override", {"actions": [], "conditions": [{}]}, "M_MISSING_PARAM"),
    ("override", {"actions": [], "conditions": [{"kind": "x"}] * 101}, "M_INVALID_PARAM"),
    ("override", {"actions": [], "conditions": [{"kind": "event_match", "key": "a"}]}, "M_MISSING_PARAM"),
    ("override", {"actions": [], "conditions": [{"kind": "event_match", "pattern": "a"}]}, "M_MISSING_PARAM"),
    ("override", {"actions": [], "conditions": [{"kind": "event_property_is", "key": "a"}]}, "M_MISSING_PARAM"),
    ("override", {"actions": [], "conditions": [{"kind": "event_property_is", "key": "a", "value": []}]}, "M_INVALID_PARAM"),
    ("override", {"actions": [], "conditions": [{"kind": "event_property_contains", "key": "a", "value": 0.5}]},
     "M_INVALID_PARAM"),
    ("override", {"actions": [], "conditions": [{"kind": "sender_notification_permission"}]}, "M_MISSING_PARAM"),
    ("override", {"actions": [], "conditions": [COUNT]}, "M_MISSING_PARAM"),
    ("underride", {"actions": [], "conditions": [{**COUNT, "is": ""}]}, "M_INVALID_PARAM"),
    ("underride", {"actions": [], "conditions": [{**COUNT, "is": "=2"}]}, "M_INVALID_PARAM"),
    ("underride", {"actions": [], "conditions": [{**COUNT, "is": "<-2"}]}, "M_INVALID_PARAM"),
    ("room", [], "M_BAD_JSON"),
    ("room", "{", "M_NOT_JSON"),
])
def test_bodies_that_are_refused(hs, kind, body, errcode):
    alice = hs.register("alice")
    refused(alice, "PUT", rule(kind, "x"), body, 400, errcode)
    assert own(alice, kind) == []


@pytest.mark.parametrize("rest,body,errcode", [
    ("/enabled", {}, "M_MISSING_PARAM"), ("/enabled", {"enabled": "yes"}, "M_BAD_JSON"),
    ("/enabled", {"enabled": None}, "M_BAD_JSON"), ("/actions", {}, "M_MISSING_PARAM"),
    ("/actions", {"actions": {}}, "M_BAD_JSON"), ("/actions", {"actions": ["shout"]}, "M_INVALID_PARAM"),
])
def test_enabled_and_actions_that_are_refused(hs, rest, body, errcode):
    alice = hs.register("alice")
    refused(alice, "PUT", rule("override", ".m.rule.master", rest), body, 400, errcode)


def test_who_is_not_logged_in_has_no_rules(hs):
    refused(hs.client(), "GET", BASE, None, 401, "M_MISSING_TOKEN")


def test_what_is_not_served_is_said(hs):
    alice = hs.register("alice")
    for path in ("pushrules/device/", "pushrules/global/override/", "pushers", "notifications"):
        refused(alice, "GET", V3 + path, None, 404, "M_UNRECOGNIZED")


def test_there_are_limits(server):
    hs = server(config="[client-push]\nmax_rules = 10\nmax_size = 64K\n")
    alice, bob = hs.register("alice"), hs.register("bob")
    for i in range(10):
        put(alice, KINDS[i % 5], str(i))
    refused(alice, "PUT", rule("room", "x"), {"actions": []}, 413, "M_TOO_LARGE")
    put(alice, "override", "0", actions=[])
    alice.ok("DELETE", rule("override", "0"))
    put(alice, "room", "x")
    refused(bob, "PUT", rule("content", "x"), {"actions": [], "pattern": "x" * 17000}, 413, "M_TOO_LARGE")
    for i in range(4):
        put(bob, "content", str(i), pattern="x" * 16000)
    refused(bob, "PUT", rule("content", "x"), {"actions": [], "pattern": "x" * 16000}, 413, "M_TOO_LARGE")
    assert own(bob, "content") == ["3", "2", "1", "0"]


def test_the_first_sync_has_the_rules(hs):
    alice = hs.register("alice")
    assert pushed(alice.sync()) == alice.ok("GET", BASE)
    put(alice, "room", "!a:b")
    assert pushed(alice.sync()) == alice.ok("GET", BASE)
    nothing = {"account_data": {"not_types": ["m.push_rules"]}}
    assert pushed(alice.sync(filter=nothing)) is None


def test_each_change_is_in_the_next_sync(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    since, bobs = alice.sync()["next_batch"], bob.sync()["next_batch"]
    for method, path, body in [
            ("PUT", rule("room", "!a:b"), {"actions": []}),
            ("PUT", rule("room", "!a:b", "/actions"), {"actions": ["notify"]}),
            ("PUT", rule("room", "!a:b", "/enabled"), {"enabled": False}),
            ("PUT", rule("override", ".m.rule.master", "/enabled"), {"enabled": True}),
            ("DELETE", rule("room", "!a:b"), None)]:
        alice.ok(method, path, body)
        answer = alice.sync(since, timeout=10000)
        assert pushed(answer) == alice.ok("GET", BASE)
        since = answer["next_batch"]
        assert pushed(alice.sync(since)) is None
    alice.ok("PUT", V3 + "user/%s/account_data/org.example" % quote(alice.user_id), {})
    assert pushed(alice.sync(since)) is None
    assert pushed(bob.sync(bobs)) is None


def test_a_refused_change_is_in_no_sync(hs):
    alice = hs.register("alice")
    since = alice.sync()["next_batch"]
    refused(alice, "DELETE", rule("room", "none"), None, 404, "M_NOT_FOUND")
    assert pushed(alice.sync(since)) is None


def test_as_account_data(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    path = V3 + "user/%s/account_data/m.push_rules" % quote(alice.user_id)
    assert alice.ok("GET", path) == alice.ok("GET", BASE)
    refused(bob, "GET", path, None, 403, "M_FORBIDDEN")
    refused(alice, "PUT", path, {"global": {}}, 405, "M_BAD_JSON")


def test_changes_at_once_are_all_kept(hs):
    alice = hs.register("alice")
    threads = [threading.Thread(target=put, args=(alice, "room", "!%d:b" % i)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(own(alice, "room")) == ["!%d:b" % i for i in range(8)]


def test_the_rules_outlive_the_server(server):
    hs = server()
    alice = hs.register("alice")
    put(alice, "content", "a")
    put(alice, "content", "b")
    alice.ok("PUT", rule("override", ".m.rule.master", "/enabled"), {"enabled": True})
    before, since = alice.ok("GET", BASE), alice.sync()["next_batch"]
    put(alice, "content", "c")
    hs.restart()
    rules = alice.ok("GET", BASE)
    assert rules["global"]["override"] == before["global"]["override"]
    assert own(alice, "content") == ["c", "b", "a"]
    assert pushed(alice.sync(since)) == rules
