//! Both formats: the lines of messages, and that every message is read back.

#![allow(clippy::unwrap_used)]

use crate::transcript::{parse_line, Entry, Format, Record};
use crate::wire::is_unprintable;
use crate::wire::message::Framing;
use crate::wire::stamp::Stamp;
use crate::wire::topic;
use proptest::prelude::*;

const AT: i64 = 1_769_857_391_000_042_000;

fn entry(frames: &[&[u8]], framing: Framing, received_ns: i64) -> Entry {
    let frames = frames.iter().map(|frame| frame.to_vec()).collect();
    split(frames, framing, 0, received_ns)
}

/// An entry as it is read back: `topic_len` is 0 if the first frame does not start with the topic.
fn split(frames: Vec<Vec<u8>>, framing: Framing, topic_len: u8, received_ns: i64) -> Entry {
    let mut entry = Entry {
        frames,
        framing,
        topic_len,
        received_ns,
    };
    let topic = entry.interpret().topic;
    entry.topic_len = topic.map_or(0, |topic| topic::len_in(&entry.frames[0], &topic));
    entry
}

fn line(entry: &Entry, format: Format) -> String {
    let parsed = entry.interpret();
    let record = Record {
        frames: entry.frames.iter().map(Vec::as_slice).collect(),
        framing: entry.framing,
        parsed: &parsed,
        received_ns: entry.received_ns,
    };
    let mut out = Vec::new();
    format.push_line(&mut out, &record);
    String::from_utf8(out).unwrap()
}

fn stamp(topic: Option<&str>) -> Stamp {
    Stamp {
        from: "alice".into(),
        id: "9f3c".into(),
        topic: topic.map(str::to_owned),
        seq: 42,
        sent_ns: AT - 1,
        kind: None,
    }
}

/// The line after its time.
fn shown(frames: &[&[u8]], framing: Framing) -> String {
    shown_entry(&entry(frames, framing, AT))
}

fn shown_entry(entry: &Entry) -> String {
    let line = line(entry, Format::Text);
    let line = line.strip_suffix('\n').unwrap();
    assert_eq!(parse_line(line.as_bytes()).as_ref(), Some(entry), "{line}");
    assert_eq!(
        line.as_bytes()[26..].iter().position(|b| *b == b':'),
        Some(3)
    );
    line["2026-01-31T12:03:11.000042+01:00".len()..].to_owned()
}

#[test]
fn a_text_line_shows_topic_sender_and_payload() {
    let (none, room) = (stamp(None).encode(), stamp(Some("room1")).encode());
    let plain = Framing::Plain;
    assert_eq!(shown(&[b"Hello"], plain), ": Hello");
    assert_eq!(shown(&[b""], plain), ": ");
    assert_eq!(
        shown(&[b"room1:Hello\nworld\t\\"], plain),
        r": room1:Hello\nworld\t\\"
    );
    let room1 = |frames: &[&[u8]]| {
        let frames = frames.iter().map(|frame| frame.to_vec()).collect();
        shown_entry(&split(frames, plain, 5, AT))
    };
    assert_eq!(room1(&[b"room1:Hello\nworld"]), r" room1: Hello\nworld");
    assert_eq!(room1(&[b"a#\\\\b:\xff: x"]), r" a\x23\\\\b: \xff: x");
    assert_eq!(room1(&[b"room1:x", b"Hi"]), " room1: Hi\tfirst=room1:x");
    let stamped = room1(&[b"room1:Hello", &none]);
    assert!(stamped.starts_with(" room1 alice#42: Hello\tid=9f3c\tsent="));
    assert!(stamped.contains(r#","topic":null,"#), "{stamped}");
    let sent = |line: String| line.split("\tsent=").next().unwrap().to_owned();
    assert_eq!(
        sent(shown(&[b"room1:Hello", &room], plain)),
        " room1 alice#42: Hello\tid=9f3c"
    );
    assert_eq!(
        sent(shown(&[b"Hello", &none], plain)),
        " alice#42: Hello\tid=9f3c"
    );
    let action = Stamp {
        kind: Some("action".into()),
        ..stamp(None)
    };
    assert!(shown(&[b"waves", &action.encode()], plain).ends_with("\tkind=action"));
    assert!(shown(&[b"room1", b"Hello", &room], plain).ends_with("\tfirst=room1"));
    assert_eq!(
        shown(&[b"a b", b"Hello", b"x\t", b""], plain),
        ": Hello\tfirst=a b\tmore=x\\t\tmore="
    );
    assert_eq!(
        shown(&[b"room1:Hello", &room], Framing::Raw),
        format!(
            ": room1:Hello\tmore={}\tframing=raw",
            String::from_utf8(room.clone()).unwrap()
        )
    );
    let spaced = [&b" "[..], &room].concat();
    let spaced = String::from_utf8(spaced).unwrap().replace(" {\"", "{ \"");
    assert!(shown(&[b"room1:Hi", spaced.as_bytes()], plain).ends_with(&format!("\tstamp={spaced}")));
}

#[test]
fn a_json_line_has_the_keys_of_sub_and_exact_times() {
    let room = stamp(Some("room1")).encode();
    let entry = entry(
        &[b"room1:\xff\"\x7f\xc2\x9b", &room],
        Framing::Envelope,
        AT + 1,
    );
    let line = line(&entry, Format::Jsonl);
    let (before, after) = line.split_once(",\"sent_at\":").unwrap();
    assert!(
        before.starts_with("{\"received_at\":\"2026-01-31T"),
        "{line}"
    );
    assert!(
        before.ends_with("\",\"topic\":\"room1\",\"from\":\"alice\",\"sequence\":42"),
        "{line}"
    );
    let (_, after) = after.split_once(",\"text\"").unwrap();
    assert_eq!(
        after,
        ":\"\u{fffd}\\\"\\u007f\\u009b\",\"received_ns\":1769857391000042001,\"instance\":\"9f3c\",\
         \"sent_ns\":1769857391000041999,\"data_base64\":\"/yJ/wps=\",\"framing\":\"envelope\"}\n"
    );
    assert_eq!(parse_line(line.trim_end().as_bytes()), Some(entry));
    let come = Stamp {
        kind: Some("come".into()),
        ..stamp(Some("room1"))
    };
    let line = self::line(
        &self::entry(&[b"room1:", &come.encode()], Framing::Plain, AT),
        Format::Jsonl,
    );
    assert!(line.ends_with(",\"kind\":\"come\"}\n"), "{line}");
}

#[test]
fn lines_written_by_hand_are_read() {
    let stamped = Stamp {
        id: String::new(),
        sent_ns: AT,
        ..stamp(Some("room1"))
    };
    let expected = entry(
        &[b"room1:Hello\nworld", &stamped.encode()],
        Framing::Plain,
        AT,
    );
    for line in [
        r"2026-01-31T12:03:11.000042+01:00 room1 alice#42: Hello\nworld",
        "2026-01-31T11:03:11.000042Z room1 alice#42: Hello\\nworld\tlater=x\r",
        r#"{"received_at":"2026-01-31T11:03:11.000042Z","topic":"room1","from":"alice","sequence":42,"text":"Hello\nworld","later":[]}"#,
    ] {
        assert_eq!(
            parse_line(line.as_bytes()).as_ref(),
            Some(&expected),
            "{line}"
        );
    }
    let bare = split(vec![b"room1:".to_vec()], Framing::Plain, 5, AT);
    for line in [
        "2026-01-31T11:03:11.000042Z room1:",
        r#"{"received_at":"2026-01-31T11:03:11.000042Z","topic":"room1","text":""}"#,
    ] {
        assert_eq!(parse_line(line.as_bytes()).as_ref(), Some(&bare), "{line}");
    }
}

#[test]
fn other_lines_are_rejected() {
    for line in [
        "",
        "Hello",
        "# a comment",
        "2026-01-31T11:03:11Z",
        "2026-01-31T11:03:11Z room1",
        "2026-01-31T11:03:11Z room1 room2: x",
        "2026-01-31T11:03:11Z  : x",
        "2026-01-31T11:03:11Z alice#1 room1: x",
        "2026-01-31T11:03:11Z alice#+1: x",
        "2026-01-31T11:03:11Z alice#: x",
        "2026-01-31T11:03:11Z a#18446744073709551616: x",
        r"2026-01-31T11:03:11Z {x: x",
        r"2026-01-31T11:03:11Z room1: \q",
        "2026-01-31T11:03:11Z room1: x\tid=9",
        "2026-01-31T11:03:11Z room1: x\tfirst",
        "2026-01-31T11:03:11Z room1: x\tframing=fancy",
        "{}",
        "{\"received_ns\":1",
        r#"{"received_ns":1}"#,
        r#"{"received_ns":1.5,"text":""}"#,
        r#"{"received_ns":1,"text":7}"#,
        r#"{"received_ns":1,"text":"","topic":"a b"}"#,
        r#"{"received_ns":1,"text":"","from":"a"}"#,
        r#"{"received_ns":1,"text":"","more":"a"}"#,
        r#"{"received_ns":1,"text":"","first":[]}"#,
        r#"{"received_ns":1,"text":"","data_base64":"?"}"#,
        r#"{"received_ns":1,"text":"","framing":"fancy"}"#,
    ] {
        assert_eq!(parse_line(line.as_bytes()), None, "{line}");
    }
}

fn any_stamp() -> impl Strategy<Value = Stamp> {
    let topic = proptest::option::of("room1|[a-z#\\\\é]{1,3}");
    let name = "(?s)(.|[ :#\\\\\t\n]){0,6}";
    let kind = proptest::option::of(name);
    (name, name, topic, any::<u64>(), any::<i64>(), kind).prop_map(
        |(from, id, topic, seq, sent_ns, kind)| Stamp {
            from,
            id,
            topic,
            seq,
            sent_ns,
            kind,
        },
    )
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        "(room1|[a-z#\\\\é]{1,3})?:?(?s)(.|[ :#\\\\\t\r\n\u{9b}\u{202e}]){0,9}"
            .prop_map(String::into_bytes),
        any_stamp().prop_map(|stamp| stamp.encode()),
        any_stamp().prop_map(|stamp| [&stamp.encode()[..], b" "].concat()),
    ]
}

fn any_message() -> impl Strategy<Value = Entry> {
    let framing = prop_oneof![
        Just(Framing::Plain),
        Just(Framing::Envelope),
        Just(Framing::Raw)
    ];
    let foreign = proptest::collection::vec(any_frame(), 1..5);
    let named = (any_stamp(), any::<Vec<u8>>(), any::<bool>(), any::<bool>()).prop_map(
        |(stamp, payload, envelope, odd)| {
            let topic = stamp.topic.clone();
            let mut encoded = stamp.encode();
            encoded.extend(odd.then_some(b' '));
            match (topic, envelope) {
                (topic, true) => {
                    vec![topic.unwrap_or_default().into_bytes(), payload, encoded]
                }
                (Some(topic), false) => {
                    vec![[topic.as_bytes(), b":", &payload].concat(), encoded]
                }
                (None, false) => vec![payload, encoded],
            }
        },
    );
    let at = prop_oneof![
        any::<i64>(),
        (0..4_000_000_000_000_i64).prop_map(|ms| ms * 1_000_000)
    ];
    (prop_oneof![foreign, named], framing, 0..9_u8, at).prop_map(
        |(frames, framing, topic_len, received_ns)| split(frames, framing, topic_len, received_ns),
    )
}

#[test]
fn messages_are_selected_by_topic() {
    let topics = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let room = stamp(Some("room1")).encode();
    let message = |frame: &[u8]| entry(&[frame], Framing::Plain, AT);
    for (message, names, selected) in [
        (message(b"room1:Hi"), &["room1"][..], Some("room1")),
        (message(b"room1:Hi"), &["a", "room1"], Some("room1")),
        (message(b"room10:Hi"), &["room1"], None),
        (message(b"12:30 lunch"), &["room1"], None),
        (message(b"12:30 lunch"), &["12"], Some("12")),
        (message(b"room1"), &["room1"], None),
        (message(b"room1:Hi"), &[], None),
        (
            entry(&[b"room1", b"Hi"], Framing::Plain, AT),
            &["room1"],
            Some("room1"),
        ),
        (
            entry(&[b"room1:Hi", &room], Framing::Plain, AT),
            &["room1"],
            Some("room1"),
        ),
        (
            entry(&[b"room1:Hi", &room], Framing::Plain, AT),
            &["a"],
            None,
        ),
        (entry(&[b"room1:Hi"], Framing::Raw, AT), &["room1"], None),
    ] {
        let mut chosen = message.clone();
        assert_eq!(
            chosen.select(&topics(names)),
            selected.is_some(),
            "{message:?}"
        );
        if selected.is_some() {
            assert_eq!(chosen.interpret().topic.as_deref(), selected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_message_is_one_printable_line_and_is_read_back(message in any_message()) {
        for format in [Format::Text, Format::Jsonl] {
            let line = line(&message, format);
            let body = line.strip_suffix('\n').unwrap();
            let unprintable = |c: char| is_unprintable(c) && !(c == '\t' && format == Format::Text);
            prop_assert!(!body.contains(unprintable), "{:?}", body);
            prop_assert_eq!(&parse_line(body.as_bytes()).unwrap(), &message, "{}", body);
        }
    }

    #[test]
    fn parsing_any_line_does_not_panic(message in any_message(), bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
        let _ = parse_line(&bytes);
        for format in [Format::Text, Format::Jsonl] {
            let mut line = line(&message, format).into_bytes();
            let at = at.index(line.len());
            line[at] = byte;
            let _ = parse_line(&line);
            let _ = parse_line(&line[..at]);
        }
    }
}
