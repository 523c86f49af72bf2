//! Workflows of a user's own components: order, wires, types, the cache, programs.

use isograd_model::workflow::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Gives a number, and counts how often.
struct Number(f64, Arc<AtomicUsize>);

impl Component for Number {
    fn inputs(&self) -> Vec<Port> {
        Vec::new()
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("number", Type::Number)]
    }

    fn execute(&mut self, _: Values) -> Result<Values, ComponentError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(Values::new().with("number", self.0))
    }

    fn fingerprint(&self) -> Option<String> {
        Some(format!("number {}", self.0))
    }
}

/// `a - b`, or a panic, an error or a text where it is told so; counts its clean-ups.
#[derive(Default)]
struct Difference {
    how: &'static str,
    cleaned: Arc<AtomicUsize>,
}

impl Component for Difference {
    fn inputs(&self) -> Vec<Port> {
        vec![Port::new("a", Type::Number), Port::optional("b", Type::Number)]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![Port::new("difference", Type::Number)]
    }

    fn execute(&mut self, inputs: Values) -> Result<Values, ComponentError> {
        match self.how {
            "panic" => panic!("out of numbers"),
            "error" => Err("no numbers".into()),
            "text" => Ok(Values::new().with("difference", "three")),
            _ => {
                let b = inputs.get("b").map_or(Ok(0.0), |_| inputs.number("b"))?;
                Ok(Values::new().with("difference", inputs.number("a")? - b))
            }
        }
    }

    fn cleanup(&mut self) {
        self.cleaned.fetch_add(1, Ordering::Relaxed);
    }
}

fn number(value: f64) -> Number {
    Number(value, Arc::default())
}

fn message(mut workflow: Workflow) -> String {
    workflow.run(Values::new()).expect_err("a mistake").to_string()
}

fn shell(script: &str) -> CommandComponent {
    let words = ["sh", "-c", script].map(str::to_string).to_vec();
    CommandComponent::new(words, vec![Port::new("x", Type::Number)], vec![Port::new("y", Type::Number)])
}

#[test]
fn wires_make_a_graph() {
    let mut workflow = Workflow::new("graph").step("five", number(5.0)).step("again", number(2.0)).wired(
        "minus",
        Difference::default(),
        [("b", "five.number"), ("a", "again")],
    );
    // A step in a chain takes all that the one in front gives.
    assert!(
        workflow.run(Values::new()).expect_err("arity").to_string().starts_with("step 'again': expected 0")
    );
    workflow = Workflow::new("graph").step("five", number(5.0)).wired("two", number(2.0), []).wired(
        "minus",
        Difference::default(),
        [("b", "five.number"), ("a", "two")],
    );
    assert_eq!(workflow.run(Values::new()).unwrap().number("difference").unwrap(), -3.0);
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let count = Arc::new(AtomicUsize::new(0));
    let first = || Workflow::new("w").step("n", Number(1.0, Arc::clone(&count)));
    let text = || Pick::from_json(json!("text"));
    let picked = |pick| first().step("adapt", Adapter::new([pick])).step("minus", Difference::default());
    for (workflow, expected) in [
        (picked(text()), "step 'minus': input 'a': expected number, given text ('constant0')"),
        (picked(Pick::Input(2)), "step 'adapt': INPUT#2 is not there: given 1 (number: number)"),
        (
            Workflow::new("w").step("minus", Difference::default()),
            "step 'minus': expected 1 to 2 (a: number, b?: number), given 0 (none)",
        ),
        (first().wired("n", number(1.0), []), "two steps are called 'n'"),
        (
            first().wired("minus", Difference::default(), [("a", "m.number")]),
            "step 'minus': input 'a': 'm.number' is no output of a step in front; there are n.number",
        ),
        (first().wired("minus", Difference::default(), []), "step 'minus': input 'a' is missing"),
        (
            first().wired("minus", Difference::default(), [("c", "n")]),
            "step 'minus': there is no input 'c'; inputs are a: number, b?: number",
        ),
    ] {
        assert_eq!(message(workflow), expected);
    }
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn adapters_choose_reorder_and_add() {
    let picks = [Pick::from_json(json!(10)), Pick::from_json(json!("INPUT#0"))];
    let mut workflow = Workflow::new("w")
        .step("n", number(4.0))
        .step("adapt", Adapter::new(picks))
        .step("minus", Difference::default());
    assert_eq!(workflow.run(Values::new()).unwrap().number("difference").unwrap(), 6.0);
    // A slice takes as inputs what its first step needs.
    let mut slice = workflow.slice(2..3);
    let out = slice.run(Values::new().with("a", 3).with("b", 1)).unwrap();
    assert_eq!(out.number("difference").unwrap(), 2.0);
}

#[test]
fn adapters_take_what_wires_name_in_their_order() {
    let picks = ["INPUT#1", "INPUT#0"].map(|pick| Pick::from_json(json!(pick)));
    let mut workflow = Workflow::new("w")
        .step("five", number(5.0))
        .wired("two", number(2.0), [])
        .wired("adapt", Adapter::new(picks), [("left", "five"), ("right", "two.number")])
        .step("minus", Difference::default());
    let plan = workflow.plan(&[]).unwrap();
    let wires = [("left", "five.number"), ("right", "two.number")];
    assert_eq!(plan.steps[2].inputs, wires.map(|(input, from)| (input.to_string(), from.to_string())));
    let outputs: Vec<&str> = plan.steps[2].outputs.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(outputs, ["right", "left"]);
    assert_eq!(workflow.run(Values::new()).unwrap().number("difference").unwrap(), -3.0);
    let adapter = || Adapter::new([Pick::Input(0)]);
    let wired = Workflow::new("w").step("n", number(1.0)).wired("adapt", adapter(), [("x", "m")]);
    assert_eq!(
        message(wired),
        "step 'adapt': input 'x': 'm' is no output of a step in front; there are n.number"
    );
    let none = Workflow::new("w").step("n", number(1.0)).wired("adapt", adapter(), []);
    assert_eq!(message(none), "step 'adapt': INPUT#0 is not there: given 0 (none)");
}

#[test]
fn a_step_is_cleaned_up_whatever_happens() {
    for (how, expected) in [
        ("panic", "step 'minus' panicked: out of numbers"),
        ("error", "step 'minus': no numbers"),
        ("text", "step 'minus' gave difference: text instead of difference: number"),
    ] {
        let cleaned = Arc::<AtomicUsize>::default();
        let minus = Difference { how, cleaned: Arc::clone(&cleaned) };
        assert_eq!(message(Workflow::new("w").step("n", number(1.0)).step("minus", minus)), expected);
        assert_eq!(cleaned.load(Ordering::Relaxed), 1, "{how}");
    }
}

#[test]
fn what_has_not_changed_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let count = Arc::<AtomicUsize>::default();
    let run = |value: f64, is_fresh: bool, selected: Option<Vec<bool>>| {
        let mut workflow = Workflow::new("w")
            .step("n", Number(value, Arc::clone(&count)))
            .step("minus", Difference::default());
        let mut runner = Runner { cache: Some(&cache), is_fresh, selected, ..Runner::default() };
        let result = runner.run(&mut workflow, Values::new());
        (
            result.map(|out| out.number("difference").unwrap()).map_err(|error| error.to_string()),
            count.load(Ordering::Relaxed),
        )
    };
    let only_second = || Some(vec![false, true]);
    let missing = "step 'minus' needs the outputs of step 'n', which is not to run and is not in the cache";
    assert_eq!(run(1.0, false, only_second()), (Err(missing.to_string()), 0));
    assert_eq!(run(1.0, false, None), (Ok(1.0), 1));
    assert_eq!(run(1.0, false, None), (Ok(1.0), 1));
    assert_eq!(run(2.0, false, None), (Ok(2.0), 2));
    assert_eq!(run(1.0, false, only_second()), (Ok(1.0), 2));
    assert_eq!(run(1.0, true, None), (Ok(1.0), 3));
    // A damaged file is as if it were not there.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::write(entry.unwrap().path(), "{").unwrap();
    }
    assert_eq!(run(1.0, false, None), (Ok(1.0), 4));
}

#[test]
fn programs_are_components() {
    let run = |script: &str| {
        let command = shell(script).with_limit(Some(Duration::from_secs(1)));
        let given = Values::new().with("x", 2.5);
        let result = Workflow::new("w").step("program", command).run(given);
        result.map(|out| out.number("y").unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(
        run("read -r line; test \"$line\" = '{\"x\":2.5}' || test -n \"$line\"; echo '{\"y\": 7}'"),
        Ok(7.0)
    );
    assert_eq!(run("echo '{\"y\": 7}'"), Ok(7.0), "a program need not read");
    for (script, expected) in [
        ("echo hello", "must print one JSON object, it printed \"hello\\n\""),
        ("echo 3", "must print one JSON object, it printed 3"),
        ("echo '{}'", "printed no output 'y'"),
        ("echo '{\"y\": \"a\"}'", "printed \"a\" as 'y', which must be of type number"),
        ("echo '{\"y\": 1, \"z\": 2}'", "printed 'z', which is no output of it"),
        ("exit 3", "ended with exit status: 3"),
        ("sleep 60 & wait", "did not end in 1 s and was killed"),
    ] {
        let error = run(script).unwrap_err();
        assert!(
            error.starts_with("step 'program': `sh -c ") && error.contains(expected),
            "{script}: {error}"
        );
    }
}

#[test]
fn components_have_names() {
    let mut registry: Registry<f64, String> = Registry::new();
    registry.register("number", |value| {
        if value.is_finite() { Ok(number(value)) } else { Err("no number".to_string()) }
    });
    assert_eq!(registry.names(), ["number"]);
    assert!(registry.make("numbr", 1.0).is_none());
    assert_eq!(registry.make("number", f64::NAN).unwrap().err().as_deref(), Some("no number"));
    let made = registry.make("number", 3.0).unwrap().unwrap();
    let out = Workflow::new("w").boxed("n", made, None).run(Values::new()).unwrap();
    assert_eq!(out.number("number").unwrap(), 3.0);
}

#[test]
fn objects_pass_by_type() {
    struct Give;
    impl Component for Give {
        fn inputs(&self) -> Vec<Port> {
            Vec::new()
        }
        fn outputs(&self) -> Vec<Port> {
            vec![Port::new("list", Type::object::<Vec<u8>>())]
        }
        fn execute(&mut self, _: Values) -> Result<Values, ComponentError> {
            Ok(Values::new().with("list", Value::object(vec![1u8, 2])))
        }
    }
    let out = Workflow::new("w").step("give", Give).run(Values::new()).unwrap();
    assert_eq!(*out.get("list").unwrap().downcast::<Vec<u8>>().unwrap(), [1, 2]);
    let error = message(Workflow::new("w").step("give", Give).step("minus", Difference::default()));
    assert!(error.starts_with("step 'minus': input 'a': expected number, given "), "{error}");
}
