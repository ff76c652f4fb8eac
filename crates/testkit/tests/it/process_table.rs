use testkit::{children_of, descendants_of, eventually, started_child_of};

use crate::process::shell;

#[test]
fn a_child_that_is_only_forked_has_not_started() {
    // For so long the subshell is its parent still, by all that it was started with.
    let parent = shell("(sleep 0.3; exec sleep 1000) & echo forked; wait");
    parent.wait_for_line("forked");
    let child = started_child_of(parent.pid(), &[]);
    assert_eq!(
        (child.command.as_str(), child.parent),
        ("sleep 1000", parent.pid())
    );
}

#[test]
fn a_child_that_was_there_before_is_not_the_one() {
    let parent = shell("sleep 1000 & sleep 2000 & wait");
    let first = started_child_of(parent.pid(), &[]);
    let second = started_child_of(parent.pid(), &[first.pid]);
    assert_ne!(first, second);
    eventually("both", || children_of(parent.pid()).len() == 2);
}

#[test]
fn the_children_of_children_are_descendants() {
    let parent = shell("sh -c 'sleep 1000 & wait' & wait");
    eventually("both", || {
        let mut commands: Vec<String> = descendants_of(parent.pid())
            .into_iter()
            .map(|one| one.command)
            .collect();
        commands.sort();
        if commands == ["sh -c sleep 1000 & wait", "sleep 1000"] {
            Ok(())
        } else {
            Err(commands)
        }
    });
    assert_eq!(children_of(parent.pid()).len(), 1);
}

#[test]
fn a_child_without_an_environment_is_found() {
    let parent = shell("env -i sleep 1000 & wait");
    assert_eq!(started_child_of(parent.pid(), &[]).parent, parent.pid());
}
