use std::fmt::Debug;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use testkit::ObjectServer;

const PART_BYTES: usize = 5 << 20;

/// Configured by the server's environment alone.
fn builder(server: &ObjectServer) -> AmazonS3Builder {
    // reqwest wants one for plain HTTP too; an error says that another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let empty = AmazonS3Builder::new().with_url(server.url());
    server.environment().iter().fold(empty, |builder, (name, value)| {
        builder.with_config(name.to_ascii_lowercase().parse().unwrap(), value)
    })
}

fn client(server: &ObjectServer) -> AmazonS3 {
    builder(server).build().unwrap()
}

/// Bytes that do not repeat within a part, so that parts in a wrong order show.
fn content(length_bytes: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(length_bytes).collect()
}

async fn put(store: &AmazonS3, key: &str, bytes: &[u8]) {
    let payload = PutPayload::from(bytes.to_vec());
    store.put(&Path::from(key), payload).await.unwrap();
}

async fn keys(store: &AmazonS3, prefix: &str) -> Vec<String> {
    let found = store.list(Some(&Path::from(prefix)));
    let mut keys: Vec<String> = found
        .map_ok(|object| object.location.to_string())
        .try_collect()
        .await
        .unwrap();
    keys.sort();
    keys
}

#[tokio::test]
async fn an_object_is_what_was_put_whole_or_in_parts() {
    let server = ObjectServer::start();
    let store = client(&server);
    put(&store, "jobs/1/answer", b"832040").await;
    assert_eq!(server.objects(), ["jobs/1/answer"]);
    assert_eq!(server.read("jobs/1/answer"), b"832040");

    let (large, expected) = (Path::from("jobs/2/answer"), content(12_000_000));
    let upload = store.put_multipart(&large).await.unwrap();
    assert_eq!(server.unfinished_uploads(), 1);
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    writer.write(&expected);
    writer.finish().await.unwrap();
    assert_eq!(server.unfinished_uploads(), 0, "a completed upload is counted");
    assert!(
        server.read("jobs/2/answer") == expected,
        "the parts are not the whole"
    );

    assert_eq!(store.head(&large).await.unwrap().size, 12_000_000);
    let range = 5_000_000..6_000_000;
    let found = store.get_range(&large, range).await.unwrap();
    assert!(found == expected[5_000_000..6_000_000], "the range is another");
    let whole = store.get(&large).await.unwrap().bytes().await.unwrap();
    assert!(whole == expected, "the whole is another");
}

#[tokio::test]
async fn an_upload_is_unfinished_until_it_is_aborted() {
    let server = ObjectServer::start();
    let store = client(&server);
    let mut upload = store.put_multipart(&Path::from("answer")).await.unwrap();
    upload.put_part(content(PART_BYTES).into()).await.unwrap();
    assert_eq!(server.unfinished_uploads(), 1);
    upload.abort().await.unwrap();
    assert_eq!(server.unfinished_uploads(), 0);
    assert_eq!(server.objects(), [""; 0]);
}

#[tokio::test]
async fn a_list_has_the_objects_of_its_prefix_and_not_those_deleted() {
    let server = ObjectServer::start();
    let store = client(&server);
    for key in ["a/1", "a/2", "a/b c+d%", "ab/1"] {
        put(&store, key, b"x").await;
    }
    assert_eq!(keys(&store, "a").await, ["a/1", "a/2", "a/b c+d%25"]);

    store.delete(&Path::from("a/1")).await.unwrap();
    assert_eq!(keys(&store, "a").await, ["a/2", "a/b c+d%25"]);
    let doomed = ["a/2", "a/b c+d%", "a/never was"].map(|key| Ok(Path::from(key)));
    let deleted: Vec<_> = store
        .delete_stream(stream::iter(doomed).boxed())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(deleted.len(), 3);
    assert_eq!(server.objects(), ["ab/1"]);
}

#[tokio::test]
async fn a_list_is_complete_beyond_one_page() {
    let server = ObjectServer::start();
    let store = client(&server);
    for index in 0..1_001 {
        server.write(&format!("many/{index}"), b"x");
    }
    assert_eq!(keys(&store, "many").await.len(), 1_001);
}

#[tokio::test]
async fn a_client_reads_what_was_written_behind_its_back() {
    let server = ObjectServer::start();
    let store = client(&server);
    put(&store, "jobs/1/answer", b"832040").await;
    server.write("jobs/1/answer", b"832O40");
    let found = store.get(&Path::from("jobs/1/answer")).await.unwrap();
    assert_eq!(found.bytes().await.unwrap(), "832O40");
}

/// Returns what a request met, or a panic when it succeeded.
fn error(result: Result<impl Debug, Error>) -> Error {
    let error = result.expect_err("the request succeeded");
    eprintln!("{error}");
    error
}

/// Begins an upload of one part.
async fn begun_upload(store: &AmazonS3) -> Box<dyn MultipartUpload> {
    let mut upload = store.put_multipart(&Path::from("large")).await.unwrap();
    upload.put_part(content(PART_BYTES).into()).await.unwrap();
    upload
}

/// Tries every operation but lists, also on an upload that was begun before, and returns how each failed.
async fn errors_of_every_operation(store: &AmazonS3, upload: &mut dyn MultipartUpload) -> Vec<Error> {
    let key = Path::from("answer");
    let doomed = stream::iter([Ok(key.clone())]).boxed();
    vec![
        error(store.put(&key, content(PART_BYTES).into()).await),
        error(store.put_multipart(&key).await.map(drop)),
        error(upload.complete().await),
        error(upload.put_part(content(PART_BYTES).into()).await),
        error(upload.abort().await),
        error(store.get(&key).await.map(drop)),
        error(store.head(&key).await),
        error(store.delete(&key).await),
        error(store.delete_stream(doomed).try_collect::<Vec<_>>().await),
    ]
}

/// Returns how a list failed; the client keeps its kind for itself, and only its text tells.
async fn error_of_a_list(store: &AmazonS3) -> String {
    error(store.list(None).try_collect::<Vec<_>>().await).to_string()
}

#[tokio::test]
async fn every_request_to_a_removed_bucket_finds_nothing() {
    let server = ObjectServer::start();
    let store = client(&server);
    put(&store, "answer", b"832040").await;
    let mut upload = begun_upload(&store).await;
    server.remove_bucket();
    for error in errors_of_every_operation(&store, &mut *upload).await {
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
    let text = error_of_a_list(&store).await;
    assert!(
        text.contains("404 Not Found: ") && text.contains("<Code>NoSuchBucket</Code>"),
        "{text}"
    );
    assert_eq!(server.objects(), [""; 0]);
    assert_eq!(server.unfinished_uploads(), 1);
}

#[tokio::test]
async fn every_request_is_refused_while_access_is_denied() {
    let server = ObjectServer::start();
    let store = client(&server);
    put(&store, "answer", b"832040").await;
    let mut upload = begun_upload(&store).await;
    server.deny(true);
    for error in errors_of_every_operation(&store, &mut *upload).await {
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    }
    let text = error_of_a_list(&store).await;
    assert!(
        text.contains("403 Forbidden: ") && text.contains("<Code>AccessDenied</Code>"),
        "{text}"
    );
    server.deny(false);
    assert_eq!(store.head(&Path::from("answer")).await.unwrap().size, 6);
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let server = ObjectServer::start();
    let store = builder(&server)
        .with_secret_access_key("another")
        .build()
        .unwrap();
    let error = error(store.head(&Path::from("answer")).await);
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
}

#[tokio::test]
async fn nothing_listens_after_the_end_of_the_server() {
    let server = ObjectServer::start();
    let endpoint = server.environment().swap_remove(0).1;
    let address = endpoint.trim_start_matches("http://").to_owned();
    tokio::net::TcpStream::connect(&address).await.unwrap();
    drop(server);
    let error = tokio::net::TcpStream::connect(&address).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
