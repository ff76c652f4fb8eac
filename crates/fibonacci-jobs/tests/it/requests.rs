//! The decoder of requests against anything that a foreign client may write, by itself and in the rows of a queue.

use durable_jobs::record::FailureKind;
use durable_jobs::{JobId, State};
use fibonacci_jobs::record::WorkflowName;
use fibonacci_jobs::{Algorithm, Limits, Request};
use proptest::prelude::*;
use serde_json::Value;

use crate::rig::{Rig, outcome, outcomes};

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

#[test]
fn an_integer_of_over_64_bits_is_too_large_in_any_form() {
    for input in [
        "18446744073709551616",
        "\"18446744073709551616\"",
        "{\"n\": 1e30}",
    ] {
        let input: Value = serde_json::from_str(input).unwrap();
        let refused = Request::decode(&input, None).unwrap_err().to_string();
        assert!(
            refused.contains("over the limit") && refused.contains("lower n"),
            "{refused}"
        );
    }
    let fraction = Request::decode(&serde_json::json!(1.5e10 + 0.5), None).unwrap_err();
    assert!(fraction.to_string().contains("15000000000.5"), "{fraction}");
}

#[test]
fn a_refusal_names_the_way_out_of_the_limit_that_counts() {
    let low = Limits {
        max_n: 100,
        ..Limits::default()
    };
    for (limits, n, way_out) in [
        (low, 5_000, "raise --max-n"),
        (low, 2_000_000, "raise --max-n"),
        (Limits::default(), 2_000_000, "use doubling"),
    ] {
        let refused = limits.check(&Request::with(n, Algorithm::Iterative)).unwrap_err();
        assert!(refused.to_string().contains(way_out), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_good_input_is_read() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let forms = [
        "10",
        "\"10\"",
        "[10]",
        "{\"n\": 10}",
        "{\"n\": \"10\", \"algorithm\": \"iterative\"}",
        "{\"positionalArgs\": [10], \"namedArgs\": {}}",
        "{\"positionalArgs\": [10, \"recursive\"], \"namedArgs\": {}}",
        "{\"positionalArgs\": [], \"namedArgs\": {\"n\": 10}}",
        "{\"positionalArgs\": [{\"n\": 10}], \"namedArgs\": {}}",
    ];
    for (index, form) in forms.iter().enumerate() {
        rig.enqueue_foreign(&index.to_string(), "fibonacci_workflow", form);
    }
    for ended in outcomes(
        &client,
        (0..forms.len()).map(|index| JobId::new(index.to_string())),
    )
    .await
    {
        let form = forms[ended.id.as_str().parse::<usize>().unwrap()];
        assert_eq!(ended.result.unwrap().value.as_deref(), Some("55"), "input {form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_input_fails_with_one_line_and_blocks_nothing() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let inputs = [
        ("-1", "n is -1, which is not a non-negative integer"),
        ("1.5", "n is 1.5, which is not"),
        ("\"abc\"", "n is abc, which is not"),
        ("\"\"", "n is missing"),
        ("null", "n is missing"),
        ("[]", "n is missing"),
        ("{}", "n is missing"),
        ("true", "the input is true, which is not a request"),
        ("1000000000000000000000000000000", "n is 1"),
        ("3000000000", "n is 3000000000, over the limit of 2000000000"),
        (
            "{\"n\": 51, \"algorithm\": \"recursive\"}",
            "n is 51, over the limit of 50 for the algorithm recursive",
        ),
        (
            "{\"n\": 5, \"algorithm\": \"magic\"}",
            "algorithm is \"magic\", which does not exist",
        ),
        ("{\"m\": 5}", "field \"m\" does not exist"),
        ("[1, 2, 3]", "the input is 3 arguments"),
    ];
    for (index, (input, _)) in inputs.iter().enumerate() {
        rig.enqueue_foreign(&index.to_string(), "fibonacci_workflow", input);
    }
    let good = client.submit_job(Request::new(20).job()).await.unwrap();
    assert_eq!(
        outcome(&client, &good).await.state,
        State::Succeeded,
        "a bad row blocked the queue"
    );
    for ended in outcomes(
        &client,
        (0..inputs.len()).map(|index| JobId::new(index.to_string())),
    )
    .await
    {
        let (input, expected) = inputs[ended.id.as_str().parse::<usize>().unwrap()];
        let failure = ended.result.unwrap_err();
        assert!(
            failure.message.contains(expected) && !failure.message.contains('\n'),
            "{input}: {}",
            failure.message
        );
        assert_eq!(failure.data.kind, FailureKind::Terminal, "{input}");
    }
}
