//! Two instances relay to one another and to receivers over a network that delays, cuts, half-closes
//! and trickles.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use super::address::listening;
use super::proxy::Proxy;
use super::report::Report;
use super::stage::{Load, Places, Sink, Source, Stage, input, output};

/// Relays for so long: senders → first → second → file and `tcp` receiver, first → `http` receiver,
/// each hop over a bad network.
///
/// # Errors
/// When `nilo` does not run, or ends by itself.
pub fn torture(mut load: Load, time: Duration) -> Result<Report> {
    (load.sources, load.sinks) = (vec![Source::Tail, Source::Tcp, Source::Http], vec![Sink::File, Sink::Tcp, Sink::Http]);
    let (title, seed) = (format!("a bad network for {time:?}, seed {}", load.seed), load.seed);
    let (first, mut second) = (load.daemon("first")?, load.daemon("second")?);
    let file = second.path("out/lines");
    let mut stage = Stage::around(load, first, file)?;
    let (places, relay) = (stage.places, listening()?);
    let proxies = [places.tcp_in, places.http_in, relay, places.http_out, places.tcp_out]
        .into_iter()
        .zip(1..)
        .map(|(target, n)| Proxy::start(target, seed.wrapping_add(n << 48)))
        .collect::<Result<Vec<Proxy>>>()?;
    let [tcp_in, http_in, to_second, to_http, to_tcp] = [0, 1, 2, 3, 4].map(|n: usize| proxies[n].address());
    stage.entrance = (tcp_in, http_in);
    let near = Places { tcp_out: to_second, http_out: to_http, ..places };
    let far = Places { tcp_in: relay, tcp_out: to_tcp, ..places };
    stage.daemon.configure(&between(&stage.load, &near, &[Source::Tail, Source::Tcp, Source::Http], &[Sink::Tcp, Sink::Http]))?;
    second.configure(&between(&stage.load, &far, &[Source::Tcp], &[Sink::File, Sink::Tcp]))?;
    stage.feed()?;
    second.start()?;
    stage.start()?;
    std::thread::sleep(time);
    let connections: Vec<String> = proxies.iter().map(|p| p.connections.load(Ordering::Acquire).to_string()).collect();
    proxies.iter().for_each(Proxy::calm);
    let (mut report, _first) = stage.finish(title)?;
    if let Err(e) = second.stop() {
        report.broken.push(format!("the second: {e}"));
    }
    report.notes.push(format!("connections through each proxy: {}", connections.join(", ")));
    if report.lost() > 0 {
        report.notes.push(format!("the second's log ends with:\n{}", second.log_end()));
    }
    Ok(report)
}

fn between(load: &Load, places: &Places, sources: &[Source], sinks: &[Sink]) -> String {
    let mut config = "[nilo]\nstate = \"{dir}/state\"\nmax_hops = 8\n".to_string();
    sources.iter().for_each(|s| config += &input(*s, places));
    sinks.iter().for_each(|s| config += &output(*s, places, load));
    config
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::torture::feed::{self, Feeder};
    use crate::torture::ledger::{Delivered, Ledger, Stream};
    use crate::torture::receive::{self, Door};

    type Receive = fn(SocketAddr, Arc<Delivered>) -> Result<Door>;
    type Send = fn(Arc<Stream>, SocketAddr, u64) -> Result<Feeder>;

    /// A sender and a receiver of ours with a bad network between them: what the trials rest on.
    fn exchange(receive: Receive, send: Send) {
        let (ledger, address) = (Ledger::new(), listening().unwrap());
        let _receiver = receive(address, ledger.output("out")).unwrap();
        let proxy = Proxy::start(address, 3).unwrap();
        let feeder = send(ledger.stream("in"), proxy.address(), 20_000).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while (proxy.connections.load(Ordering::Acquire) < 4 || ledger.acknowledged() < 500) && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        proxy.calm();
        feeder.finish(Duration::from_secs(60)).unwrap();
        let tally = ledger.outputs()[0].tally();
        assert_eq!((ledger.missing(), ledger.acknowledged()), (0, ledger.issued()));
        assert!(tally.delivered >= 500, "{tally:?}");
        assert_eq!((tally.damaged, tally.foreign, tally.misordered), (0, 0, 0), "{tally:?}");
    }

    #[test]
    fn framed_messages_survive_a_bad_network() {
        exchange(receive::tcp::start, feed::tcp::start);
    }

    #[test]
    fn posted_lines_survive_a_bad_network() {
        exchange(receive::http::start, feed::http::start);
    }
}
