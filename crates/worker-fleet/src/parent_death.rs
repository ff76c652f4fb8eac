//! Processes that are not to outlive the one that started them.

use std::io;

use rustix::process::Signal;

/// Asks the kernel to send this process `signal` when its parent dies, and fails if the parent is gone already.
///
/// The kernel looks at the end of the thread that started this process: a supervisor starts its children from its main
/// thread.
///
/// # Errors
/// When the parent is not the process `parent`, or the kernel refuses.
pub fn die_with_parent(parent: u32, signal: Signal) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
    // After the request, or a parent that dies between the two would go unnoticed.
    let present = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs());
    if present != Some(parent) {
        return Err(io::Error::other("the process that started this one is gone"));
    }
    Ok(())
}
