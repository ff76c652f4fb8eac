//! The names that rows carry, whatever their job types.

/// The queue that jobs wait in unless another one is named.
pub const DEFAULT_QUEUE: &str = "default";

/// The queue of the engine itself, which every worker serves beside its own.
pub const ENGINE_QUEUE: &str = dbos::sysdb::INTERNAL_QUEUE;

/// The longest input that a worker reads, in bytes of JSON.
pub(crate) const MAX_INPUT_BYTES: usize = 65_536;

/// The application that owns our rows among those that share a database.
pub const APPLICATION: &str = "abaci";
