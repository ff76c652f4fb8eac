//! Whose rows a handle of the database is for.

use std::sync::Arc;

use super::Tables;

/// The names of the workflows and the version of the steps that a worker or a client knows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    version: Arc<str>,
    workflows: Arc<[&'static str]>,
}

impl Scope {
    pub(crate) fn new(version: Arc<str>, workflows: Vec<&'static str>) -> Self {
        Self {
            version,
            workflows: workflows.into(),
        }
    }

    /// The version of the steps.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The names of the workflows, as in the rows.
    pub(crate) fn workflows(&self) -> &[&'static str] {
        &self.workflows
    }
}

/// The use that a caller makes of the tables, and of whose rows.
pub(crate) struct TableAccess {
    pub(crate) tables: Tables,
    pub(crate) scope: Scope,
}
