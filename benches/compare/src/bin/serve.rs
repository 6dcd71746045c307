//! Serves one variant over HTTP, with one thread, for the program `http`: `serve VARIANT FILE`. The file gets the header line of
//! each client; then the address is printed. Its sessions are in a new database on the server that `DATABASE_URL`
//! names, where the variant keeps them in one. Ends when its input does, so that it outlives nobody.

use std::{
    io::{Read as _, stdin},
    net::{Ipv4Addr, SocketAddr},
};

use compare::peers::{self, ConnectInfo, VARIANTS, client};
use tokio::net::TcpListener;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (id, file) = (arguments.next().expect("a variant"), arguments.next().expect("a file to write to"));
    let lines = file.clone();
    std::thread::spawn(move || {
        // An error is an end as well.
        let _ = stdin().read_to_end(&mut Vec::new());
        let _ = std::fs::remove_file(lines);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve(&id, &file));
}

async fn serve(id: &str, file: &str) {
    let variant = VARIANTS.iter().find(|variant| variant.id == id).expect("a variant that there is");
    let database = match std::env::var("DATABASE_URL") {
        Ok(server) => Some(peers::create_database(&server, id).await),
        Err(_) => None,
    };
    let peer = peers::set_up(id, database.as_deref()).await;
    let lines = peer.credentials.iter().map(|(name, value)| {
        let value = value.to_str().expect("credentials are ASCII");
        format!("{name}: {value}\n")
    });
    std::fs::write(file, lines.collect::<String>()).expect("the file can be written");
    client::check(variant, &peer).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    println!("{}", listener.local_addr().expect("it is bound"));
    let served = if variant.connect_info == ConnectInfo::Without {
        axum::serve(listener, peer.app).await
    } else {
        axum::serve(listener, peer.app.into_make_service_with_connect_info::<SocketAddr>()).await
    };
    served.expect("it ends with the process");
}
