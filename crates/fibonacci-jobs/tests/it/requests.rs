//! The decoder of requests against anything that a foreign client may write.

use fibonacci_jobs::record::WorkflowName;
use fibonacci_jobs::{Algorithm, Limits, Request};
use proptest::prelude::*;
use serde_json::Value;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,200}".prop_map(Value::from),
        prop::sample::select(vec![
            "10", "-1", "1e3", " 7 ", "doubling", "stepwise", "abort@7", "١٢"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec!["n", "algorithm", "fault", "positionalArgs", "namedArgs"])
                .prop_map(str::to_owned),
            ".{0,60}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_a_request_or_one_short_line(
        input in json(),
        workflow in prop::sample::select(WorkflowName::ALL.to_vec()),
    ) {
        let checked = Request::decode_for(workflow, &input).and_then(|request| Limits::default().check(&request));
        if let Err(error) = checked {
            let line = error.to_string();
            prop_assert!(line.chars().count() < 250 && !line.chars().any(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn what_our_client_writes_is_read_as_it_was_meant(n: u64, algorithm in prop::sample::select(Algorithm::ALL.to_vec())) {
        let request = Request::with(n, algorithm);
        prop_assert_eq!(Request::decode(&serde_json::to_value(request).unwrap(), None).unwrap(), request);
    }

    #[test]
    fn only_digits_are_an_index(text in "[0-9+\\-._ eE١x]{0,12}") {
        let is_index = !text.trim().is_empty() && text.trim().bytes().all(|byte| byte.is_ascii_digit());
        prop_assert_eq!(Request::parse_n(&text).is_ok(), is_index);
    }
}
