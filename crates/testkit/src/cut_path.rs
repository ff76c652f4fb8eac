//! A path to a server that can be cut without a word.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use url::Url;

use crate::temp_dir::TempDir;

/// Stands between a test's programs and a server on a Unix socket, and passes on what they say.
///
/// After [`CutPath::cut`] nothing of the connections that were there gets through any more, in either direction and not even
/// their end, as behind a firewall that has forgotten them: neither side is told. New connections pass.
#[derive(Debug)]
pub struct CutPath {
    url: String,
    state: Arc<CutState>,
    socket: PathBuf,
    _dir: TempDir,
}

#[derive(Debug, Default)]
struct CutState {
    /// Number of cuts so far.
    cuts: AtomicU32,
    /// Both ends of all connections there ever were, so that none is closed before the value.
    ends: Mutex<Vec<UnixStream>>,
}

impl CutPath {
    /// Opens one to the server at `url`, which is on a Unix socket.
    ///
    /// # Panics
    /// When the URL names no socket, or none can be made.
    #[must_use]
    pub fn to(url: &str) -> Self {
        let dir = TempDir::new();
        let mut own = Url::parse(url).expect("the server's URL is one");
        let parameters: Vec<(String, String)> = own.query_pairs().into_owned().collect();
        let of = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found
                .map(|(_, value)| value.clone())
                .expect("a socket has a host and a port")
        };
        let name = format!(".s.PGSQL.{}", of("port"));
        let (server, socket) = (Path::new(&of("host")).join(&name), dir.path().join(&name));
        let listener = UnixListener::bind(&socket).expect("the directory is ours");
        let state = Arc::new(CutState::default());
        let passing = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Where there is no server, the client's connection ends at once: it was not cut.
                let Ok(server) = UnixStream::connect(&server) else {
                    continue;
                };
                passing.connect(&client, &server);
            }
        });
        own.query_pairs_mut().clear().extend_pairs(parameters.iter().map(
            |(key, value)| match key.as_str() {
                "host" => (key.clone(), dir.path().display().to_string()),
                _ => (key.clone(), value.clone()),
            },
        ));
        Self {
            url: own.into(),
            state,
            socket,
            _dir: dir,
        }
    }

    /// Returns the URL of the database by this path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Drops in silence whatever the connections of this moment still say.
    pub fn cut(&self) {
        self.state.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for CutPath {
    fn drop(&mut self) {
        // Who connects from now on finds nobody; the thread that listens goes with the process.
        let _ = fs::remove_file(&self.socket);
        let ends = self.state.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for end in &*ends {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl CutState {
    fn connect(self: &Arc<Self>, client: &UnixStream, server: &UnixStream) {
        let cuts = self.cuts.load(Ordering::SeqCst);
        let clone = |stream: &UnixStream| stream.try_clone().expect("there are descriptors left");
        let kept = [clone(client), clone(server)];
        self.ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(kept);
        for (from, to) in [(client, server), (server, client)] {
            let (state, from, to) = (Arc::clone(self), clone(from), clone(to));
            thread::spawn(move || state.pass(cuts, from, to));
        }
    }

    /// Passes on what `from` says until its end, unless the path has been cut since.
    fn pass(&self, cuts: u32, mut from: UnixStream, mut to: UnixStream) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = from.read(&mut buffer).unwrap_or_default();
            // After the read, which may have waited through a cut. From then on all that comes is read
            // and dropped: a sender whose buffer is full would notice.
            let is_cut = self.cuts.load(Ordering::SeqCst) != cuts;
            let has_passed = is_cut || to.write_all(&buffer[..count]).is_ok();
            if count == 0 || !has_passed {
                if !is_cut {
                    let _ = to.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                }
                return;
            }
        }
    }
}
