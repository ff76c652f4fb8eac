use std::time::Duration;

use testkit::{Deadline, TempDir, eventually};

#[test]
fn a_wait_ends_with_the_first_value() {
    let mut looks = 0;
    let found = eventually("the third look", || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(found, 3);
}

#[test]
#[should_panic(expected = "in vain for the impossible; last seen: \"only this\"")]
fn a_wait_in_vain_names_what_it_awaited_and_what_it_saw() {
    Deadline::after(Duration::from_millis(20)).eventually("the impossible", || Err::<(), _>("only this"));
}

#[test]
fn a_temporary_directory_goes_with_all_that_is_in_it() {
    let dir = TempDir::new();
    let path = dir.path().to_path_buf();
    std::fs::create_dir_all(path.join("a/b")).unwrap();
    std::fs::write(path.join("a/b/c"), "x").unwrap();
    drop(dir);
    assert!(!path.exists());
}
