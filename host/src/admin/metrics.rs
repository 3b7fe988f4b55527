//! `/metrics`: the service's counters in OpenMetrics (version 1.0), for Prometheus and whatever reads the same.
//!
//! Owns names, units and labels, which stay what they are: people build alarms on them. Everything is read from one [`Status`], so that a
//! scrape sees one instant. Labels are names that the operator gave, of letters, digits, `.`, `-` and `_`, so that nothing needs escaping. Never says who somebody
//! is: no JID, no node, no address is a label.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType::{self, Counter, Gauge, Histogram};
use prometheus_client::registry::{Registry, Unit};

use super::{BridgeStatus, CallStatus, CustodyStatus, Status};

/// As the format wants to be called.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// States that a bridge may be in, as [`BridgeStatus::state`] lists them.
const STATES: [&str; 8] =
    ["waiting", "compiling", "starting", "running", "restarting", "quarantined", "refused", "stopping"];

/// The text of one scrape.
pub(super) fn text(status: Status) -> String {
    let mut registry = Registry::with_prefix("tombolo");
    registry.register_collector(Box::new(Scrape(status)));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => text,
        // A string takes everything.
        Err(Error) => String::new(),
    }
}

#[derive(Debug)]
struct Scrape(Status);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let out = &mut encoder;
        self.host(out)?;
        self.xmpp(out)?;
        self.bridges(out)?;
        self.traffic(out)?;
        self.calls(out)?;
        self.queues(out)?;
        self.custody(out)
    }
}

impl Scrape {
    fn host(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let version = [("version", self.0.version.as_str())];
        family(out, Gauge, "host", "The service, by version", [(version, 1)])?;
        let up = family_of(out, Gauge, "host_uptime", "Since the service was started", Some(&Unit::Seconds));
        up?.encode_gauge(&count(self.0.uptime_s))?;
        let refused = i64::from(self.0.refused_configuration.is_some());
        single(out, Gauge, "host_configuration_refused", "1 while the newest configuration is not in force", refused)
    }

    fn xmpp(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Status { xmpp, outbox, held, subscriptions, publications, given_up, .. } = &self.0;
        single(out, Gauge, "xmpp_online", "1 while the XMPP session is up", i64::from(xmpp.state == "online"))?;
        let help = "Times that the XMPP connection was lost, or could not be made";
        single(out, Counter, "xmpp_disconnects", help, count(xmpp.disconnects))?;
        single(out, Counter, "xmpp_stanzas_received", "Stanzas received", count(xmpp.received))?;
        let help = "Stored stanzas that the server has acknowledged";
        single(out, Counter, "xmpp_stanzas_acknowledged", help, count(xmpp.acknowledged))?;
        single(out, Gauge, "xmpp_outbox_stanzas", "Stanzas that the server has not acknowledged", size(*outbox))?;
        single(out, Gauge, "xmpp_held_stanzas", "Messages that wait for who is away", size(*held))?;
        single(out, Gauge, "xmpp_subscriptions", "Event subscriptions in force", size(*subscriptions))?;
        single(out, Gauge, "publications_waiting", "Publications that nobody has confirmed", size(*publications))?;
        single(out, Counter, "publications_given_up", "Publications that were given up", count(*given_up))
    }

    fn bridges(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let states = self.0.bridges.iter().flat_map(|bridge| {
            STATES.map(|state| ([("bridge", bridge.name.as_str()), ("state", state)], i64::from(bridge.state == state)))
        });
        family(out, Gauge, "bridge_state", "1 for the state that the bridge is in", states)?;
        let nodes = self.0.bridges.iter().flat_map(|bridge| {
            let online = bridge.nodes.saturating_sub(bridge.offline);
            [("online", online), ("offline", bridge.offline)]
                .map(|(state, nodes)| ([("bridge", bridge.name.as_str()), ("state", state)], size(nodes)))
        });
        family(out, Gauge, "bridge_nodes", "Nodes that the bridge declared", nodes)?;
        let help = "Events that wait for the mapper";
        self.each(out, Gauge, "bridge_mailbox_events", help, |bridge| size(bridge.mailbox))?;
        let help = "Faults of the mapper after which it was started again";
        self.each(out, Counter, "bridge_restarts", help, |bridge| i64::from(bridge.restarts))
    }

    fn traffic(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        self.each(out, Gauge, "bridge_connections", "Streams that are open", |bridge| size(bridge.connections))?;
        let help = "Sockets for datagrams, and places where the bridge listens";
        self.each(out, Gauge, "bridge_sockets", help, |bridge| size(bridge.sockets))?;
        let help = "Datagrams that had no room";
        self.each(out, Counter, "bridge_datagrams_lost", help, |bridge| count(bridge.lost_datagrams))?;
        let requests = self.0.bridges.iter().flat_map(|bridge| {
            [("out", bridge.requests_out), ("in", bridge.requests_in)]
                .map(|(way, requests)| ([("bridge", bridge.name.as_str()), ("way", way)], size(requests)))
        });
        family(out, Gauge, "bridge_http_requests", "HTTP requests that await their answer", requests)
    }

    fn calls(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let calls = |bridge: &BridgeStatus, number: fn(&CallStatus) -> u64| count(number(&bridge.calls));
        let help = "Calls into the mapper that ended in a fault";
        self.each(out, Counter, "mapper_faults", help, |bridge| calls(bridge, |calls| calls.faults))?;
        let help = "Events handed to the mapper";
        self.each(out, Counter, "mapper_events", help, |bridge| calls(bridge, |calls| calls.events))?;
        let help = "Actions that the mapper asked for";
        self.each(out, Counter, "mapper_actions", help, |bridge| calls(bridge, |calls| calls.actions))?;
        let help = "How long calls into the mapper lasted";
        let mut family = family_of(out, Histogram, "mapper_call", help, Some(&Unit::Seconds))?;
        for bridge in &self.0.bridges {
            let sum = bridge.calls.busy_us as f64 / 1e6;
            let buckets: Vec<(f64, u64)> =
                bridge.calls.lasted.iter().map(|(us, calls)| (seconds(*us), *calls)).collect();
            let labels = [("bridge", bridge.name.as_str())];
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, bridge.calls.calls, &buckets, None)?;
        }
        Ok(())
    }

    fn queues(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let items = self.0.queues.iter().flat_map(|queue| {
            [("waiting", queue.waiting), ("leased", queue.items.saturating_sub(queue.waiting))]
                .map(|(state, items)| ([("queue", queue.name.as_str()), ("state", state)], size(items)))
        });
        family(out, Gauge, "queue_items", "Items in the queue", items)
    }

    fn custody(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let labels = |account: &CustodyStatus| [("bridge", account.bridge.clone()), ("way", account.way.clone())];
        let accounts = &self.0.custody;
        let taken = accounts.iter().map(|account| (labels(account), count(account.taken)));
        family(out, Counter, "custody_taken", "What was handed over with a promise", taken)?;
        let ended = accounts.iter().flat_map(|account| {
            let CustodyStatus { delivered, expired, refused, dead, .. } = *account;
            [("delivered", delivered), ("expired", expired), ("refused", refused), ("dead", dead)].map(
                |(end, number)| {
                    let [bridge, way] = labels(account);
                    ([bridge, way, ("end", end.to_owned())], count(number))
                },
            )
        });
        family(out, Counter, "custody_ended", "What became of it", ended)?;
        let waiting = accounts.iter().map(|account| (labels(account), count(account.waiting)));
        family(out, Gauge, "custody_waiting", "What of it is on its way", waiting)?;
        let help = "Accounts that do not balance: something was lost or doubled";
        let unbalanced = accounts.iter().filter(|account| !account.balances).count();
        single(out, Gauge, "custody_unbalanced", help, size(unbalanced))
    }

    /// One value for each bridge.
    fn each(
        &self,
        out: &mut DescriptorEncoder<'_>,
        kind: MetricType,
        name: &str,
        help: &str,
        value: impl Fn(&BridgeStatus) -> i64,
    ) -> Result<(), Error> {
        let values = self.0.bridges.iter().map(|bridge| ([("bridge", bridge.name.as_str())], value(bridge)));
        family(out, kind, name, help, values)
    }
}

fn family_of<'a>(
    out: &'a mut DescriptorEncoder<'_>,
    kind: MetricType,
    name: &'a str,
    help: &str,
    unit: Option<&'a Unit>,
) -> Result<MetricEncoder<'a>, Error> {
    out.encode_descriptor(name, help, unit, kind)
}

fn family<L: EncodeLabelSet>(
    out: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, i64)>,
) -> Result<(), Error> {
    let mut family = family_of(out, kind, name, help, None)?;
    for (labels, value) in values {
        write(family.encode_family(&labels)?, kind, value)?;
    }
    Ok(())
}

fn single(out: &mut DescriptorEncoder<'_>, kind: MetricType, name: &str, help: &str, value: i64) -> Result<(), Error> {
    write(family_of(out, kind, name, help, None)?, kind, value)
}

fn write(mut encoder: MetricEncoder<'_>, kind: MetricType, value: i64) -> Result<(), Error> {
    match kind {
        Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value.unsigned_abs(), None),
        _ => encoder.encode_gauge(&value),
    }
}

/// The upper end of a class in seconds; the last has none.
fn seconds(us: Option<u64>) -> f64 {
    us.map_or(f64::MAX, |us| us as f64 / 1e6)
}

fn size(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{QueueStatus, XmppStatus};
    use super::*;

    #[test]
    fn says_of_each_bridge_and_queue_what_the_status_says() {
        let calls =
            CallStatus { calls: 3, busy_us: 1500, lasted: vec![(Some(1000), 2), (None, 1)], ..CallStatus::default() };
        let bridge = BridgeStatus {
            name: "home".into(),
            state: "running".into(),
            nodes: 3,
            offline: 1,
            restarts: 2,
            calls,
            ..BridgeStatus::default()
        };
        let xmpp = XmppStatus { state: "online".into(), jid: "secret@example.org".into(), ..XmppStatus::default() };
        let queue = QueueStatus { name: "q".into(), items: 5, waiting: 4 };
        let account =
            CustodyStatus { bridge: "home".into(), way: "event".into(), taken: 3, dead: 1, ..CustodyStatus::default() };
        let (bridges, queues, custody) = (vec![bridge], vec![queue], vec![account]);
        let text = text(Status { bridges, queues, xmpp, custody, ..Status::default() });
        for line in [
            "tombolo_xmpp_online 1",
            r#"tombolo_bridge_state{bridge="home",state="running"} 1"#,
            r#"tombolo_bridge_state{bridge="home",state="quarantined"} 0"#,
            r#"tombolo_bridge_nodes{bridge="home",state="online"} 2"#,
            r#"tombolo_bridge_restarts_total{bridge="home"} 2"#,
            r#"tombolo_mapper_call_seconds_bucket{le="0.001",bridge="home"} 2"#,
            r#"tombolo_mapper_call_seconds_bucket{le="+Inf",bridge="home"} 3"#,
            r#"tombolo_mapper_call_seconds_sum{bridge="home"} 0.0015"#,
            r#"tombolo_queue_items{queue="q",state="leased"} 1"#,
            r#"tombolo_custody_ended_total{bridge="home",way="event",end="dead"} 1"#,
            "tombolo_custody_unbalanced 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("secret"), "nobody is named");
    }

    #[test]
    fn the_manual_names_each_metric_and_no_other() {
        let status = Status { bridges: vec![BridgeStatus::default()], ..Status::default() };
        let text = text(status);
        let mut told: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let manual = include_str!("../../docs/metrics.md");
        let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut written: Vec<&str> = rows.map(|name| name.strip_suffix("_total").unwrap_or(name)).collect();
        told.sort_unstable();
        written.sort_unstable();
        assert_eq!(told, written);
    }
}
