//! The place of the artifacts of one database: what puts them there, finds, lists and removes them.

use std::fs;
use std::future::ready;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::bucket::{BucketAddress, Unsent, error_of, explained, send};
use super::file::{ArtifactFile, UNSEEN_FOR, Unfinished, Written, writer_of};
use super::{ArtifactPlace, BucketAccess, failed, failure_of, lost, refused};
use crate::presence::Sight;
use crate::record::{ArtifactRecord, Failure};
use crate::{Error, Reply};

/// The time that a start waits for the bucket before it says so.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A disk with no room for so much is full.
const PROBE_BYTES: usize = 64 << 10;

/// The artifacts of one database. Cheap to clone; all clones are one place.
#[derive(Clone)]
pub struct Artifacts {
    /// Where files are written, and kept unless there is a bucket.
    directory: PathBuf,
    objects: Arc<dyn ObjectStore>,
    bucket: Option<Bucket>,
    access: BucketAccess,
}

/// The part of a bucket that is one database's.
#[derive(Clone)]
struct Bucket {
    /// `s3://bucket/prefix/database`.
    url: String,
    prefix: Key,
}

/// A file with the bytes of an artifact, for as long as this lives.
pub struct Fetched {
    path: PathBuf,
    _download: Option<ArtifactFile>,
}

/// The content of the place of the artifacts.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl Artifacts {
    /// Prepares the place of the artifacts of the database called `database`.
    ///
    /// # Errors
    /// [`Error::Artifacts`] when the directory cannot be made or the bucket's address makes no sense; nobody is asked.
    pub(crate) fn open(place: &ArtifactPlace, database: &str) -> Result<Self, Error> {
        let directory = place.directory.join(database);
        fs::create_dir_all(&directory).map_err(|error| failed(directory.display(), error))?;
        // A link in it would make two names of one file.
        let directory = fs::canonicalize(&directory).map_err(|error| failed(directory.display(), error))?;
        let (objects, bucket): (Arc<dyn ObjectStore>, _) = match &place.bucket {
            None => {
                let objects = LocalFileSystem::new_with_prefix(&directory)
                    .map_err(|error| failed(directory.display(), explained(&error)))?;
                (Arc::new(objects), None)
            }
            Some(url) => {
                let url = format!("{}/{database}", url.trim_end_matches('/'));
                let BucketAddress { objects, key, url } = BucketAddress::open(&url, &place.access)?;
                (objects, Some(Bucket { url, prefix: key }))
            }
        };
        Ok(Self {
            directory,
            objects,
            bucket,
            access: place.access.clone(),
        })
    }

    /// Tests whether the directory of a place is there: a mistyped one has no garbage, and nobody would learn why.
    ///
    /// # Errors
    /// [`Error::Artifacts`] when it is not.
    pub(crate) fn check_is_there(place: &ArtifactPlace) -> Result<(), Error> {
        if place.bucket.is_some() || place.directory.is_dir() {
            return Ok(());
        }
        Err(failed(place.directory.display(), "there is no such directory"))
    }

    /// Tests whether artifacts can be stored.
    ///
    /// # Errors
    /// [`Error::Artifacts`] with what the file system or the bucket said.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        self.probe().await?;
        let Some(bucket) = &self.bucket else {
            return Ok(());
        };
        // Named like an unfinished file, so that one whose deletion fails is collected with the garbage.
        let probe = self.key(&format!("{}.part", uuid::Uuid::now_v7()));
        let put = async {
            self.objects.put(&probe, Vec::new().into()).await?;
            self.objects.delete(&probe).await
        };
        // A bucket that gives no answer is asked again for a minute, which is too long for a start.
        match tokio::time::timeout(PROBE_TIMEOUT, put).await {
            Ok(put) => put.map_err(|error| error_of(&bucket.url, &error)),
            Err(_) => Err(Error::BucketUnreachable {
                place: bucket.url.clone(),
                reason: format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
            }),
        }
    }

    /// Tests whether files can be written on this host, with a bucket or without.
    ///
    /// # Errors
    /// [`Error::Artifacts`] with what the file system said.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let directory = self.directory.clone();
        tokio::task::spawn_blocking(move || check_directory(&directory))
            .await
            .unwrap_or_else(|panic| Err(failed(self.directory.display(), panic)))
    }

    /// The access to the bucket.
    #[must_use]
    pub fn access(&self) -> &BucketAccess {
        &self.access
    }

    /// Where to write something that is not there yet, under a name of its own.
    #[must_use]
    pub fn unfinished(&self) -> Unfinished {
        Unfinished::new(&self.directory)
    }

    /// Puts a written file in its place, under its final name; the unfinished one is gone then.
    ///
    /// Repeating it is harmless: the name decides what the object is.
    ///
    /// # Errors
    /// A retryable failure with what the file system or the bucket said.
    pub fn keep<'a>(
        &'a self,
        file: &'a ArtifactFile,
        written: &'a Written,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ArtifactRecord, Failure>> {
        Box::pin(async move {
            let kept = match &self.bucket {
                None => self.rename(file, name, written.bytes).await,
                Some(bucket) => self.upload(file, name, bucket).await,
            };
            let uri = kept.map_err(|error| failure_of(&error))?;
            Ok(ArtifactRecord {
                uri,
                blake3: written.blake3.clone(),
                bytes: written.bytes,
            })
        })
    }

    async fn rename(&self, file: &ArtifactFile, name: &str, bytes: u64) -> Result<String, Error> {
        let (unfinished, directory, final_name) = (file.0.clone(), self.directory.clone(), name.to_owned());
        let renamed =
            tokio::task::spawn_blocking(move || unfinished.put_in_place(&directory, &final_name, bytes));
        renamed
            .await
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|error| refused(self.directory.display(), &error))?;
        self.uri(name)
    }

    /// Uploads in a task of its own, which takes back an upload in parts that nobody waits for any more.
    async fn upload(&self, file: &ArtifactFile, name: &str, bucket: &Bucket) -> Result<String, Error> {
        let unwanted = CancellationToken::new();
        let _unwanted_when_dropped = unwanted.clone().drop_guard();
        let (objects, key, path) = (Arc::clone(&self.objects), self.key(name), file.0.path());
        let sent = tokio::spawn(async move { send(&path, &*objects, &key, &unwanted).await });
        match sent.await {
            Ok(Ok(())) => self.uri(name),
            Ok(Err(Unsent::Bucket(error))) => Err(error_of(&bucket.url, &error)),
            Ok(Err(Unsent::File(error))) => Err(refused(self.directory.display(), &error)),
            Ok(Err(error @ Unsent::Unwanted)) => Err(failed(&bucket.url, error)),
            Err(panic) => Err(failed(&bucket.url, panic)),
        }
    }

    /// Gets the bytes of an artifact as a file of this host; they are not checked.
    ///
    /// # Errors
    /// [`Error::ArtifactLost`] when it is missing, else why it cannot be read now.
    pub fn fetch<'a>(&'a self, record: &'a ArtifactRecord) -> Reply<'a, Fetched> {
        Box::pin(async move {
            if self.bucket.is_some() {
                return self.download(record).await;
            }
            let path = Url::parse(&record.uri)
                .ok()
                .and_then(|url| url.to_file_path().ok());
            let path = path.ok_or_else(|| lost(&record.uri, "it is not a file of this host"))?;
            Ok(Fetched {
                path,
                _download: None,
            })
        })
    }

    async fn download(&self, record: &ArtifactRecord) -> Result<Fetched, Error> {
        let (record, access, file) = (record.clone(), self.access.clone(), self.unfinished());
        let unwanted = CancellationToken::new();
        let _unwanted_when_dropped = unwanted.clone().drop_guard();
        // The thread has the file until it is whole, so that what nobody waits for is removed after the last write.
        let downloaded = tokio::task::spawn_blocking(move || {
            let download = ArtifactFile(file);
            let path = download.0.path();
            let mut file = fs::File::create_new(&path).map_err(|error| refused(path.display(), &error))?;
            super::try_read(&record, &access, |piece| {
                if unwanted.is_cancelled() {
                    return Err(failed(&record.uri, "nobody waits for it any more"));
                }
                file.write_all(piece)
                    .map_err(|error| refused(path.display(), &error))
            })?;
            Ok(Fetched {
                path,
                _download: Some(download),
            })
        });
        downloaded
            .await
            .unwrap_or_else(|panic| Err(failed(self.directory.display(), panic)))
    }

    /// Removes an artifact of this place, if it is there.
    ///
    /// # Errors
    /// [`Error::Artifacts`] with what the file system or the bucket said.
    pub fn remove<'a>(&'a self, name: &'a str) -> Reply<'a, ()> {
        Box::pin(async move {
            match self.objects.delete(&self.key(name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error_of(&self.place(), &error)),
            }
        })
    }

    /// Removes an artifact of this place unless it was written again since it was listed; whether it was removed.
    ///
    /// # Errors
    /// [`Error::Artifacts`] with what the file system or the bucket said.
    pub(crate) async fn remove_listed(&self, listed: &Stored) -> Result<bool, Error> {
        // A value is named by its hash: the same one may have been written again and recorded since the list.
        match self.objects.head(&self.key(&listed.name)).await {
            Ok(found) if SystemTime::from(found.last_modified) > listed.modified => Ok(false),
            Ok(_) => self.remove(&listed.name).await.map(|()| true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error_of(&self.place(), &error)),
        }
    }

    /// Everything that lies in this place itself, finished or not.
    ///
    /// # Errors
    /// [`Error::Artifacts`] with what the file system or the bucket said.
    pub(crate) async fn list(&self) -> Result<Vec<Stored>, Error> {
        // A directory is the root of its store, so it has no prefix.
        let prefix = self.bucket.as_ref().map(|bucket| &bucket.prefix);
        // A name that is none of ours, such as one that is no text, is passed over.
        let objects = self.objects.list(prefix).filter_map(|object| {
            ready(match object {
                Err(object_store::Error::InvalidPath { .. }) => None,
                object => Some(object),
            })
        });
        let objects = objects.try_collect::<Vec<_>>().await;
        let objects = objects.map_err(|error| error_of(&self.place(), &error))?;
        let stored = objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?;
            // A store lists what lies deeper as well, which is not of this place.
            (object.location == self.key(name)).then(|| Stored {
                name: name.to_owned(),
                bytes: object.size,
                modified: object.last_modified.into(),
            })
        });
        Ok(stored.collect())
    }

    /// Removes what dead workers left unfinished: where their processes could be seen and are gone, or what has not been
    /// changed for an hour.
    ///
    /// A worker elsewhere that shares the directory and stood still for so long may lose a file; it then computes it again.
    pub(crate) async fn sweep(&self) {
        let directory = self.directory.clone();
        // Best effort: what is left is in nobody's way.
        let _ = tokio::task::spawn_blocking(move || sweep(&directory)).await;
    }

    /// Tests whether other hosts have the same place.
    pub(crate) fn is_shared(&self) -> bool {
        self.bucket.is_some()
    }

    /// The place as it may be printed.
    pub(crate) fn place(&self) -> String {
        match &self.bucket {
            Some(bucket) => bucket.url.clone(),
            None => self.directory.display().to_string(),
        }
    }

    /// The address of an artifact of this place.
    pub(crate) fn uri(&self, name: &str) -> Result<String, Error> {
        match &self.bucket {
            Some(bucket) => Ok(format!("{}/{name}", bucket.url)),
            None => Url::from_file_path(self.directory.join(name))
                .map(Into::into)
                .map_err(|()| failed(self.directory.display(), "not an absolute path")),
        }
    }

    fn key(&self, name: &str) -> Key {
        match &self.bucket {
            Some(bucket) => bucket.prefix.clone().join(name),
            None => Key::from(name),
        }
    }
}

/// Tests whether a living process may have chosen this unfinished name, of a file that was changed at `modified`.
pub(crate) fn may_have_writer(name: &str, modified: SystemTime) -> bool {
    match writer_of(name) {
        Some(Sight::Living) => true,
        // A change that lies ahead is one of a clock that is elsewhere, too.
        Some(Sight::Unknown) => modified.elapsed().map_or(true, |age| age < UNSEEN_FOR),
        Some(Sight::Gone) | None => false,
    }
}

impl Fetched {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the whole directory, which takes its time on a slow disk.
fn sweep(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| writer_of(name).is_some()) else {
            continue;
        };
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|modified| !may_have_writer(name, modified)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Tests whether values can be stored in `directory`; makes it where it is missing.
///
/// # Errors
/// [`Error::Artifacts`] with what the file system said.
fn check_directory(directory: &Path) -> Result<(), Error> {
    let probe = directory.join(format!(".{}.part", uuid::Uuid::now_v7()));
    let written = fs::create_dir_all(directory).and_then(|()| fs::write(&probe, vec![0; PROBE_BYTES]));
    // A full disk takes the file and not what is in it.
    let removed = fs::remove_file(&probe);
    written
        .and(removed)
        .map_err(|error| failed(directory.display(), error))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::ops::ControlFlow;
    use std::time::Duration;

    use testkit::TempDir;

    use super::super::file::writer;
    use super::*;
    use crate::artifact::Durability;
    use crate::presence::ProcessMark;

    fn artifacts(directory: &TempDir) -> Artifacts {
        Artifacts::open(&ArtifactPlace::directory(directory.path()), "here").unwrap()
    }

    async fn keep(artifacts: &Artifacts, text: &[u8], name: &str) -> ArtifactRecord {
        let file = ArtifactFile(artifacts.unfinished());
        let proceed = |_| ControlFlow::Continue(());
        let written = file
            .0
            .write(Durability::Flushed, &proceed, |file| file.write_all(text))
            .unwrap();
        artifacts.keep(&file, &written, name).await.unwrap()
    }

    #[tokio::test]
    async fn a_value_is_stored_once_however_often_it_is_written() {
        let directory = TempDir::new();
        let artifacts = artifacts(&directory);
        let record = keep(&artifacts, b"377", "a b.txt").await;
        assert_eq!(keep(&artifacts, b"377", "a b.txt").await, record);
        let stored = artifacts.list().await.unwrap();
        assert_eq!(
            (stored.len(), &*stored[0].name, stored[0].bytes),
            (1, "a b.txt", 3)
        );
        let mut read = Vec::new();
        super::super::read(&record, artifacts.access(), |piece| read.extend_from_slice(piece)).unwrap();
        assert_eq!(read, b"377");
        artifacts.remove("a b.txt").await.unwrap();
        artifacts.remove("a b.txt").await.unwrap();
        assert_eq!(artifacts.list().await.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_in_its_place_can_be_kept_again() {
        let directory = TempDir::new();
        let artifacts = artifacts(&directory);
        let file = ArtifactFile(artifacts.unfinished());
        let proceed = |_| ControlFlow::Continue(());
        let written = file
            .0
            .write(Durability::Flushed, &proceed, |file| file.write_all(b"377"))
            .unwrap();
        let record = artifacts.keep(&file, &written, "a.txt").await.unwrap();
        assert_eq!(artifacts.keep(&file, &written, "a.txt").await.unwrap(), record);
        fs::write(artifacts.directory.join("a.txt"), b"3770").unwrap();
        artifacts.keep(&file, &written, "a.txt").await.unwrap_err();
        // Where there is neither the one nor the other it is no success.
        artifacts.remove("a.txt").await.unwrap();
        artifacts.keep(&file, &written, "a.txt").await.unwrap_err();
    }

    #[tokio::test]
    async fn what_was_written_again_since_it_was_listed_is_not_removed() {
        let directory = TempDir::new();
        let artifacts = artifacts(&directory);
        keep(&artifacts, b"377", "a.txt").await;
        let listed = artifacts.list().await.unwrap().remove(0);
        let path = artifacts.directory.join("a.txt");
        let later = listed.modified + Duration::from_secs(1);
        fs::File::open(&path).unwrap().set_modified(later).unwrap();
        assert!(!artifacts.remove_listed(&listed).await.unwrap());
        assert!(path.exists());
        let listed = artifacts.list().await.unwrap().remove(0);
        assert!(artifacts.remove_listed(&listed).await.unwrap());
        assert!(!path.exists());
        assert!(!artifacts.remove_listed(&listed).await.unwrap());
    }

    #[tokio::test]
    async fn what_lies_in_a_directory_below_is_not_listed() {
        let directory = TempDir::new();
        let artifacts = artifacts(&directory);
        fs::create_dir(artifacts.directory.join("below")).unwrap();
        fs::write(artifacts.directory.join("below/a.txt"), "").unwrap();
        assert_eq!(artifacts.list().await.unwrap().len(), 0);
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn only_unfinished_files_of_dead_workers_are_swept_away() {
        let directory = TempDir::new();
        let artifacts = artifacts(&directory);
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let own = ProcessMark::own().unwrap();
        let name = |pid, started| {
            let mark = ProcessMark {
                pid,
                started,
                ..own.clone()
            };
            format!(".{}.{}.part", writer(Some(&mark)), uuid::Uuid::now_v7())
        };
        let unseen = || format!(".1.{}.part", uuid::Uuid::now_v7());
        let (old, young) = (unseen(), unseen());
        let kept = [
            name(own.pid, own.started),
            // It may be one of another container.
            young,
            ".a.part".into(),
            "b.txt".into(),
        ];
        // One of a process that had this one's id before, as in a container that was started again.
        let left = [name(dead.id(), 0), name(own.pid, own.started - 1), old.clone()];
        for name in kept.iter().chain(&left) {
            fs::write(artifacts.directory.join(name), "").unwrap();
        }
        let file = fs::File::options()
            .write(true)
            .open(artifacts.directory.join(old));
        file.unwrap()
            .set_modified(SystemTime::now() - UNSEEN_FOR)
            .unwrap();
        artifacts.sweep().await;
        let mut left: Vec<String> = artifacts
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|it| it.name)
            .collect();
        left.sort_unstable();
        let mut kept = kept.to_vec();
        kept.sort_unstable();
        assert_eq!(left, kept);
    }

    #[test]
    fn an_address_that_is_no_bucket_is_refused() {
        for url in ["s3:/bucket", "http://host/x", "bucket", "s3://"] {
            let place = ArtifactPlace {
                bucket: Some(url.to_owned()),
                ..ArtifactPlace::directory(TempDir::new().path())
            };
            let error = Artifacts::open(&place, "here")
                .err()
                .map(|error| error.to_string());
            assert!(
                error.as_ref().is_some_and(|error| error.contains("s3://bucket")),
                "{url}: {error:?}"
            );
        }
    }
}
