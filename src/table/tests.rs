#![allow(clippy::unwrap_used)]

use crate::table::json::MAX_KEYS;
use crate::table::*;
use crate::wire::message::{interpret, Framing};
use proptest::prelude::*;

fn table<P: AsRef<[u8]>>(payloads: &[P]) -> Table {
    let mut builder = TableBuilder::default();
    for (received_ns, payload) in (0..).zip(payloads) {
        let frames = [payload.as_ref()];
        let parsed = interpret(&frames, Framing::Raw, 0);
        builder
            .push(received_ns, &parsed, parsed.payload(&frames))
            .unwrap();
    }
    builder.finish(true).unwrap()
}

/// The type and the values of a column as text; `-` for a row without a value.
fn shown(column: &Column) -> (&'static str, Vec<String>) {
    let rows = |value: &dyn Fn(usize) -> String, count: usize| {
        (0..count)
            .map(|row| match &column.validity {
                Some(validity) if !validity.get(row) => "-".to_owned(),
                _ => value(row),
            })
            .collect()
    };
    let texts = |strings: &Strings| {
        let text = |row| String::from_utf8_lossy(strings.get(row)).into_owned();
        rows(&text, strings.count())
    };
    match &column.values {
        Values::Timestamp(times) => (
            "timestamp",
            rows(&|row| times[row].to_string(), times.len()),
        ),
        Values::Int(ints) => ("int", rows(&|row| ints[row].to_string(), ints.len())),
        Values::UInt(ints) => ("uint", rows(&|row| ints[row].to_string(), ints.len())),
        Values::Float(floats) => ("float", rows(&|row| floats[row].to_string(), floats.len())),
        Values::Bool(bits) => {
            let count = bits.bytes().len() * 8;
            ("bool", rows(&|row| bits.get(row).to_string(), count.min(8)))
        }
        Values::Text(strings) => ("text", texts(strings)),
        Values::Bytes(strings) => ("bytes", texts(strings)),
    }
}

/// The columns of JSON payloads: name, type, values.
fn unpacked<P: AsRef<[u8]>>(payloads: &[P]) -> Vec<(String, &'static str, String)> {
    table(payloads).columns[8..]
        .iter()
        .map(|column| {
            let (kind, mut values) = shown(column);
            values.truncate(payloads.len());
            (column.name.clone(), kind, values.join(" "))
        })
        .collect()
}

fn one<P: AsRef<[u8]>>(payloads: &[P]) -> (&'static str, String) {
    let mut columns = unpacked(payloads);
    assert_eq!(columns.len(), 1, "{columns:?}");
    let (_, kind, values) = columns.remove(0);
    (kind, values)
}

#[test]
fn a_column_has_the_type_that_fits_all_of_its_values() {
    for (values, expected) in [
        (["1", "-2", "null"], ("int", "1 -2 -")),
        (["1", "2.5", "1e3"], ("float", "1 2.5 1000")),
        (["true", "false", "null"], ("bool", "true false -")),
        ([r#""a""#, r#""\"\n\u00e9""#, "null"], ("text", "a \"\né -")),
        (["null", "null", "null"], ("text", "- - -")),
        (
            ["1", "18446744073709551615", "0"],
            ("uint", "1 18446744073709551615 0"),
        ),
        // Values that no type represents without loss remain JSON.
        (
            ["-1", "18446744073709551615", "0"],
            ("text", "-1 18446744073709551615 0"),
        ),
        (
            ["18446744073709551616", "1", "2.5"],
            ("text", "18446744073709551616 1 2.5"),
        ),
        (
            ["9007199254740993", "0.5", "1"],
            ("text", "9007199254740993 0.5 1"),
        ),
        (
            ["9223372036854775807", "0.5", "1"],
            ("text", "9223372036854775807 0.5 1"),
        ),
        (
            ["9007199254740992", "0.5", "1"],
            ("float", "9007199254740992 0.5 1"),
        ),
        (["1", r#""1""#, "true"], ("text", "1 \"1\" true")),
        (
            ["[1, 2]", r#"{"b": 1}"#, "null"],
            ("text", "[1, 2] {\"b\": 1} -"),
        ),
        ([r#""a""#, "[1]", "null"], ("text", "\"a\" [1] -")),
        (["NaN", "Infinity", "-Infinity"], ("float", "- inf -inf")),
        (
            ["[NaN]", "1", r#""NaN \" NaN""#],
            ("text", "[null] 1 \"NaN \\\" NaN\""),
        ),
        (["1e400", "-1e400", "0"], ("float", "inf -inf 0")),
        (
            [r#""\ud800""#, r#""\ud83d\udc4b""#, "null"],
            ("text", "\u{fffd}\u{fffd}\u{fffd} 👋 -"),
        ),
    ] {
        let objects = values.map(|value| format!("{{\"a\": {value} }}"));
        let (kind, actual) = one(&objects);
        assert_eq!((kind, actual.as_str()), expected, "{values:?}");
        // The same for payloads that are not objects.
        if !values.iter().any(|value| value.starts_with('{')) {
            let (kind, actual) = one(&values);
            assert_eq!((kind, actual.as_str()), expected, "{values:?}");
        }
    }
}

#[test]
fn rows_without_a_key_have_no_value() {
    let columns = unpacked(&[
        r#"{"a": 1, "b": "x"}"#,
        "Hello",
        r#" {"b": "y", "a": 2, "c": true, "a": 3}"#,
        "{}",
        "\u{feff}[1]",
        r#"{"a": 1"#,
    ]);
    let expected = [
        ("a", "int", "1 - 3 - - -"),
        ("b", "text", "x - y - - -"),
        ("c", "bool", "- - true - - -"),
        ("json", "text", "- - - - [1] -"),
    ];
    let actual: Vec<_> = columns
        .iter()
        .map(|(name, kind, values)| (name.as_str(), *kind, values.as_str()))
        .collect();
    assert_eq!(actual, expected);
    assert_eq!(table(&["Hello", "\u{ff}"]).columns.len(), 8);
}

#[test]
fn a_key_with_the_name_of_another_column_is_renamed() {
    let columns = unpacked(&[
        r#"{"text":1,"json.text":2,"json":3,"":4,"a\u0000":5,"a\ufffd":6}"#,
        "7",
    ]);
    let names: Vec<_> = columns.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "json.text",
            "json.json.text",
            "json.json",
            "",
            "a\u{fffd}",
            "json.a\u{fffd}",
            "json"
        ]
    );
}

#[test]
fn the_number_of_columns_is_limited() {
    let payloads: Vec<_> = (0..MAX_KEYS + 2)
        .map(|key| format!("{{\"k{key}\":1,\"k0\":\"\\\"\"}}"))
        .collect();
    let columns = unpacked(&payloads);
    assert_eq!(columns.len(), MAX_KEYS + 1);
    let (name, kind, values) = columns.last().unwrap();
    assert_eq!((name.as_str(), *kind), ("json", "text"));
    assert!(values.ends_with(" {\"k256\":1} {\"k257\":1}"), "{values}");
}

#[test]
fn text_and_bytes_share_memory_if_all_payloads_are_utf_8() {
    for (payloads, shared) in [
        (vec!["a".as_bytes(), "é".as_bytes()], true),
        (vec![b"a".as_slice(), b"\xff"], false),
        // Each half of a character is invalid, though both together are valid.
        (vec![b"\xc3".as_slice(), b"\xa9"], false),
        (vec![], true),
    ] {
        let table = table(&payloads);
        let (Values::Text(text), Values::Bytes(data)) =
            (&table.columns[6].values, &table.columns[7].values)
        else {
            panic!("{:?}", table.columns);
        };
        assert_eq!(std::sync::Arc::ptr_eq(&text.bytes, &data.bytes), shared);
        for (row, payload) in payloads.iter().enumerate() {
            assert_eq!(data.get(row), *payload);
            let expected = String::from_utf8_lossy(payload);
            assert_eq!(text.get(row), expected.as_bytes());
        }
    }
}

proptest! {
    #[test]
    fn every_column_has_every_row_for_any_payloads(
        payloads in proptest::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                r#"\{"[abc]{0,2}": ?(-?[0-9]{1,22}(\.[0-9])?|"\PC{0,4}"|NaN|\[\]|[a-z]{4}), "b": (true|-Infinity)\}"#
                    .prop_map(String::into_bytes),
            ],
            0..20,
        ),
    ) {
        let table = table(&payloads);
        prop_assert_eq!(table.rows, payloads.len());
        for column in &table.columns {
            let (kind, values) = shown(column);
            prop_assert!(values.len() == table.rows || kind == "bool", "{}", column.name);
            if let Some(validity) = &column.validity {
                prop_assert_eq!(validity.bytes().len(), table.rows.div_ceil(8));
            }
        }
    }

    #[test]
    fn numbers_keep_their_values(numbers: Vec<(i64, f64)>) {
        let payloads: Vec<_> = numbers
            .iter()
            .map(|(int, float)| serde_json::json!({"i": int, "f": float}).to_string())
            .collect();
        let table = table(&payloads);
        if let [.., floats, ints] = table.columns.as_slice() {
            if !numbers.is_empty() {
                let Values::Int(actual) = &ints.values else { panic!("{ints:?}") };
                let expected: Vec<_> = numbers.iter().map(|(int, _)| *int).collect();
                prop_assert_eq!(actual, &expected);
                if let Values::Float(actual) = &floats.values {
                    for ((_, expected), actual) in numbers.iter().zip(actual) {
                        let same = expected.to_bits() == actual.to_bits();
                        prop_assert!(same || !expected.is_finite());
                    }
                }
            }
        }
    }
}
