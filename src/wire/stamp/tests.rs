//! Encoding and decoding stamps.

use crate::wire::stamp::*;
use proptest::prelude::*;

fn stamp() -> Stamp {
    Stamp {
        from: "alice".into(),
        id: "9f3c".into(),
        topic: Some("room1".into()),
        seq: 42,
        sent_ns: 1_700_000_000_000_000_000,
        kind: None,
    }
}

fn join_stamp() -> Stamp {
    Stamp {
        kind: Some("come".into()),
        ..stamp()
    }
}

#[test]
fn a_stamp_has_the_bytes_of_the_wire_format() {
    let text = r#"{"zmqchat":1,"from":"alice","id":"9f3c","topic":"room1","seq":42,"sent_ns":1700000000000000000}"#;
    assert_eq!(stamp().encode(), text.as_bytes());
    let text = text.replace('}', r#","kind":"come"}"#);
    assert_eq!(join_stamp().encode(), text.as_bytes());
    assert_eq!(Stamp::decode(text.as_bytes()), Some(join_stamp()));
    let bare = Stamp {
        from: "\"é\n".into(),
        topic: None,
        seq: u64::MAX,
        sent_ns: i64::MIN,
        ..stamp()
    };
    let text = r#"{"zmqchat":1,"from":"\"é\n","id":"9f3c","topic":null,"seq":18446744073709551615,"sent_ns":-9223372036854775808}"#;
    assert_eq!(bare.encode(), text.as_bytes());
    assert_eq!(Stamp::decode(text.as_bytes()), Some(bare));
}

#[test]
fn unknown_keys_and_another_order_are_accepted() {
    let text = br#"{"sent_ns":1,"later":[{"x":null}],"seq":0,"topic":null,"id":"","from":"b", "zmqchat": 1}"#;
    assert_eq!(Stamp::decode(text).unwrap().from, "b");
    let text =
        br#"{"kind":"poke","zmqchat":1,"from":"b","id":"","topic":null,"seq":0,"sent_ns":1}"#;
    assert_eq!(Stamp::decode(text).unwrap().kind.as_deref(), Some("poke"));
    let text = br#"{"zmqchat":1,"from":"b","id":"","topic":null,"seq":0,"sent_ns":1,"kind":null}"#;
    assert_eq!(Stamp::decode(text).unwrap().kind, None);
}

#[test]
fn a_kind_is_a_word() {
    for kind in ["come", ACTION, &"a".repeat(MAX_KIND_BYTES)] {
        assert_eq!(check_kind(kind), Ok(()));
    }
    for kind in [
        "",
        "Come",
        "a b",
        "a\n",
        "é",
        &"a".repeat(MAX_KIND_BYTES + 1),
    ] {
        assert!(check_kind(kind).is_err(), "{kind}");
    }
}

#[test]
fn an_invalid_stamp_is_not_decoded() {
    let good = String::from_utf8(join_stamp().encode()).unwrap();
    for (from, to) in [
        ("{\"zmqchat\"", " {\"zmqchat\""),
        (":1,", ":2,"),
        (":1,", ":1.0,"),
        (":1,", ":\"1\","),
        (":1,", ":true,"),
        ("\"zmqchat\":1,", ""),
        ("\"alice\"", "null"),
        ("\"9f3c\"", "7"),
        ("\"room1\"", "\"room 1\""),
        ("\"room1\"", "\"a:b\""),
        ("\"room1\"", "\"\""),
        ("\"room1\"", "\"\\u202e\""),
        ("\"room1\"", "1"),
        ("\"topic\":\"room1\",", ""),
        ("42", "-1"),
        ("42", "4.2"),
        ("42", "18446744073709551616"),
        ("1700000000000000000", "9223372036854775808"),
        ("1700000000000000000", "\"now\""),
        ("\"come\"", "1"),
        ("\"come\"", "[]"),
        ("come", &"a".repeat(MAX_KIND_BYTES + 1)),
        ("}", "}x"),
        ("}", ""),
        ("alice", &"a".repeat(MAX_FROM_BYTES + 1)),
        ("9f3c", &"a".repeat(MAX_ID_BYTES + 1)),
        ("alice", "\\ud800"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert_eq!(Stamp::decode(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(Stamp::decode(b""), None);
    assert_eq!(Stamp::decode(b"[1]"), None);
    let padded = good.replacen('}', &format!("{}}}", " ".repeat(MAX_BYTES)), 1);
    assert_eq!(Stamp::decode(padded.as_bytes()), None);
    let deep = format!("{{\"a\":{}", "[".repeat(4000));
    assert_eq!(Stamp::decode(deep.as_bytes()), None);
}

#[test]
fn the_longest_stamp_is_decoded() {
    let longest = Stamp {
        from: "\u{1}".repeat(MAX_FROM_BYTES),
        id: "\u{1}".repeat(MAX_ID_BYTES),
        topic: Some(format!("a{}", "\"".repeat(topic::MAX_BYTES - 1))),
        seq: u64::MAX,
        sent_ns: i64::MIN,
        kind: Some("\u{1}".repeat(MAX_KIND_BYTES)),
    };
    assert_eq!(Stamp::decode(&longest.encode()), Some(longest));
}

proptest! {
    #[test]
    fn an_encoded_stamp_is_decoded(
        from in "(?s).{0,60}",
        id in "(?s).{0,16}",
        topic in proptest::option::of("[^\\s:\\pC\\[{\"][^\\s:\\pC]{0,59}"),
        seq: u64,
        sent_ns: i64,
        kind in proptest::option::of("(?s).{0,8}"),
    ) {
        let stamp = Stamp { from, id, topic, seq, sent_ns, kind };
        prop_assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
    }

    #[test]
    fn decoding_any_bytes_does_not_panic(tail: Vec<u8>) {
        let mut frame = vec![b'{'];
        frame.extend_from_slice(&tail);
        let _ = Stamp::decode(&frame);
        let _ = Stamp::decode(&tail);
    }

    #[test]
    fn a_modified_stamp_is_decoded_like_other_json(at in 0_usize..109, byte: u8) {
        let mut frame = join_stamp().encode();
        frame[at] = byte;
        let expected = (frame[0] == b'{').then(|| Stamp::from_json(&frame)).flatten();
        prop_assert_eq!(Stamp::decode(&frame), expected);
    }
}
