//! Where the input of a job is.
//!
//! A DBOS client whose schema is version 109 or newer keeps it in a table of its own and leaves the row's column empty; the
//! engine and our clients write the column. Such a table may appear at any moment, under running workers.

/// The input of a row, as an SQL expression over its columns.
macro_rules! input {
    // A macro and not a constant, since `concat!` takes literals alone.
    () => {
        // `coalesce` stops at the first value: the function is called only for a row whose column is empty.
        "coalesce(inputs, abaci.input_of(workflow_uuid))"
    };
}

pub(crate) use input;
