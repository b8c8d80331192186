//! Downloads over TLS: whose certificates are believed, and how soon the others are refused.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::space::{Ended, Space, repository};

const DOCUMENTS: &str = "{\"_id\": \"a\", \"text\": \"bread and sails\"}\n";

/// Serves [`DOCUMENTS`] at every path of a host; counts who knocks.
fn serve(host: &str) -> (u16, Arc<AtomicUsize>) {
    let file = |name: &str| repository("tests/data/certificates").join(name);
    let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind((host, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let knocks = Arc::new(AtomicUsize::new(0));
    let counted = knocks.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = answer(stream, config.clone());
        }
    });
    (port, knocks)
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(std::io::Error::other)?, stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let n = DOCUMENTS.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {n}\r\nConnection: close\r\n\r\n{DOCUMENTS}")?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn space(port: u16, host: &str) -> Space {
    Space::new(&format!(
        "edition 2026\ndataset c: Corpus = download {{ url = \"https://{host}:{port}/x/docs.jsonl\" }}\n\
         stage i = bm25.index {{ corpus = c }}\n"
    ))
}

fn command(space: &Space) -> Command {
    let mut command = space.command(&["run", "study.xpipe", "--plain"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command
}

#[test]
fn an_unknown_authority_is_refused_at_once_and_a_named_one_is_believed() {
    let (port, knocks) = serve("127.0.0.1");
    let space = space(port, "localhost");
    let begun = Instant::now();
    let refused = Ended::of(command(&space).output().unwrap());
    refused.says(4, &["certificate is not trusted: UnknownIssuer", "SSL_CERT_FILE"]);
    assert_eq!(knocks.load(Ordering::SeqCst), 1, "asked again in vain");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let authority = repository("tests/data/certificates/authority.pem");
    // A file without certificates believes nobody, and is named.
    let none = Ended::of(command(&space).env("SSL_CERT_FILE", space.path("none.pem")).output().unwrap());
    none.says(4, &["not trusted", "none.pem"]);
    let ran = Ended::of(command(&space).env("SSL_CERT_FILE", authority).output().unwrap());
    ran.says(0, &[]);
}

#[test]
fn another_hosts_certificate_and_a_server_without_tls_are_refused_at_once() {
    let authority = repository("tests/data/certificates/authority.pem");
    let (port, knocks) = serve("127.0.0.2");
    // The certificate is for localhost and 127.0.0.1.
    let other = space(port, "127.0.0.2");
    let refused = Ended::of(command(&other).env("SSL_CERT_FILE", &authority).output().unwrap());
    refused.says(4, &["not trusted", "another host"]);
    assert_eq!(knocks.load(Ordering::SeqCst), 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.read(&mut [0; 1000]);
        }
    });
    let refused = Ended::of(command(&space(plain, "localhost")).output().unwrap());
    refused.says(4, &["no secure connection can be made"]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
