//! Eventing (UDA 2.0 §4): headers and property sets of GENA. Owns both sides of them. `HOST` is the host's business.

use tombolo_sdk::events::Header;

use super::headers::{get, header, product};
use super::xml;
use super::{VARIABLES_MAX, name};

/// Seconds that a subscription lasts if nobody says so.
pub(crate) const TIMEOUT_S: u32 = 1800;
/// Shorter is not granted and not believed: renewing would be all we do.
const TIMEOUT_S_MIN: u32 = 60;
/// Longer, and without end, is taken for a day: so a publisher that forgot us is noticed.
const TIMEOUT_S_MAX: u32 = 86_400;
/// Callbacks that one subscription may name.
const CALLBACKS_MAX: usize = 4;
/// Bytes of a subscription's id.
const SID_BYTES_MAX: usize = 256;

/// What a subscriber asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscribe {
    New { callbacks: Vec<String>, timeout_s: u32 },
    Renew { sid: String, timeout_s: u32 },
}

/// Reads the headers of `SUBSCRIBE`. An error is the status of the answer (UDA 2.0 §4.1.2).
pub(crate) fn read_subscribe(headers: &[Header]) -> Result<Subscribe, u16> {
    let timeout_s = timeout(get(headers, "TIMEOUT").unwrap_or_default());
    match (get(headers, "SID"), get(headers, "NT"), get(headers, "CALLBACK")) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(400),
        (Some(sid), None, None) => Ok(Subscribe::Renew { sid: sid_of(sid).ok_or(412_u16)?, timeout_s }),
        (None, Some("upnp:event"), Some(callback)) => match callbacks(callback) {
            none if none.is_empty() => Err(412),
            callbacks => Ok(Subscribe::New { callbacks, timeout_s }),
        },
        (None, _, _) => Err(412),
    }
}

/// `<http://one><http://two>`.
fn callbacks(text: &str) -> Vec<String> {
    let parts = text.split('<').skip(1).filter_map(|part| part.split_once('>')).map(|(url, _)| url.trim().to_owned());
    parts.take(CALLBACKS_MAX).collect()
}

/// Seconds of `Second-1800`, `Second-infinite`, `infinite`.
pub(crate) fn timeout(text: &str) -> u32 {
    let told = text.trim().rsplit('-').next().unwrap_or_default().trim();
    let seconds = match told {
        "" => TIMEOUT_S,
        endless if endless.eq_ignore_ascii_case("infinite") => TIMEOUT_S_MAX,
        number => number.parse().unwrap_or(TIMEOUT_S),
    };
    seconds.clamp(TIMEOUT_S_MIN, TIMEOUT_S_MAX)
}

/// A subscription's id as it is compared.
pub(crate) fn sid_of(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= SID_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| text.to_owned())
}

/// Headers of a `SUBSCRIBE` for a new subscription.
pub(crate) fn subscribe(callback: &str) -> Vec<Header> {
    vec![
        header("USER-AGENT", &product()),
        header("CALLBACK", &format!("<{callback}>")),
        header("NT", "upnp:event"),
        header("TIMEOUT", &format!("Second-{TIMEOUT_S}")),
    ]
}

/// Headers of a `SUBSCRIBE` that renews.
pub(crate) fn renew(sid: &str) -> Vec<Header> {
    vec![header("SID", sid), header("TIMEOUT", &format!("Second-{TIMEOUT_S}"))]
}

/// Headers of `UNSUBSCRIBE`.
pub(crate) fn unsubscribe(sid: &str) -> Vec<Header> {
    vec![header("SID", sid)]
}

/// The head of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notify {
    pub(crate) sid: String,
    pub(crate) sequence: u32,
}

/// Reads the headers of `NOTIFY`. An error is the status of the answer (UDA 2.0 §4.3.2).
pub(crate) fn read_notify(headers: &[Header]) -> Result<Notify, u16> {
    let (Some(kind), Some(subtype)) = (get(headers, "NT"), get(headers, "NTS")) else { return Err(400) };
    if kind != "upnp:event" || subtype != "upnp:propchange" {
        return Err(412);
    }
    let sid = get(headers, "SID").and_then(sid_of).ok_or(412_u16)?;
    let sequence = get(headers, "SEQ").and_then(|text| text.parse().ok()).ok_or(400_u16)?;
    Ok(Notify { sid, sequence })
}

/// Headers of a `NOTIFY` of ours.
pub(crate) fn notify(sid: &str, sequence: u32) -> Vec<Header> {
    vec![
        header("CONTENT-TYPE", "text/xml; charset=\"utf-8\""),
        header("NT", "upnp:event"),
        header("NTS", "upnp:propchange"),
        header("SID", sid),
        header("SEQ", &sequence.to_string()),
    ]
}

/// The number after this one; zero is for the initial event (UDA 2.0 §4.3.2).
pub(crate) const fn next(sequence: u32) -> u32 {
    match sequence {
        u32::MAX => 1,
        other => other + 1,
    }
}

/// Reads a property set: variables with their texts. An error is a sentence's end for the log.
pub(crate) fn read_properties(bytes: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    let root = xml::parse(bytes).map_err(xml::XmlError::text)?;
    if root.name != "propertyset" {
        return Err("is no property set");
    }
    let properties = root.children.into_iter().filter(|child| child.name == "property");
    Ok(properties
        .flat_map(|property| property.children)
        .map(|child| (child.name, child.text))
        .take(VARIABLES_MAX)
        .collect())
}

/// A property set of ours.
pub(crate) fn write_properties<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let all: String = properties
        .into_iter()
        .map(|(name, text)| format!("<e:property>{}</e:property>", xml::element(name, text)))
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\r\n<e:propertyset xmlns:e=\"urn:schemas-upnp-org:event-1-0\">{all}</e:propertyset>\r\n"
    )
    .into_bytes()
}

/// Reads `LastChange` of the AV services (AVTransport:1 §2.3.1): variables of the instance 0 with their texts. Of several channels the master
/// speaks for all.
pub(crate) fn read_last_change(text: &str) -> Vec<(String, String)> {
    let Ok(root) = xml::parse(text.as_bytes()) else { return Vec::new() };
    let instances =
        root.children.into_iter().filter(|child| child.name == "InstanceID" && child.attribute("val") == Some("0"));
    let changes = instances.flat_map(|instance| instance.children).filter(|change| {
        change
            .attribute("channel")
            .or_else(|| change.attribute("Channel"))
            .is_none_or(|channel| channel.eq_ignore_ascii_case("Master"))
    });
    let read = changes.filter_map(|change| Some((name(&change.name), change.attribute("val")?.to_owned())));
    read.take(VARIABLES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_read_as_they_are_written() {
        let new = read_subscribe(&subscribe("http://192.0.2.1:1/e"));
        assert_eq!(new, Ok(Subscribe::New { callbacks: vec!["http://192.0.2.1:1/e".into()], timeout_s: 1800 }));
        let again = read_subscribe(&renew("uuid:1"));
        assert_eq!(again, Ok(Subscribe::Renew { sid: "uuid:1".into(), timeout_s: 1800 }));
        let two = [
            header("callback", "<http://a/>, <http://b/>"),
            header("nt", "upnp:event"),
            header("Timeout", "Second-infinite"),
        ];
        let expected = Subscribe::New { callbacks: vec!["http://a/".into(), "http://b/".into()], timeout_s: 86_400 };
        assert_eq!(read_subscribe(&two), Ok(expected));
    }

    #[test]
    fn what_fits_no_subscription_has_its_status() {
        let (sid, nt, callback) =
            (header("SID", "uuid:1"), header("NT", "upnp:event"), header("CALLBACK", "<http://a/>"));
        let all = [
            (vec![], 412),
            (vec![sid.clone(), nt.clone()], 400),
            (vec![sid, callback.clone()], 400),
            (vec![callback.clone()], 412),
            (vec![header("NT", "x"), callback], 412),
            (vec![nt, header("CALLBACK", "http://a/")], 412),
            (vec![header("SID", "a b")], 412),
        ];
        for (headers, status) in all {
            assert_eq!(read_subscribe(&headers), Err(status), "{headers:?}");
        }
    }

    #[test]
    fn notifications_are_read_as_they_are_written() {
        let headers = notify("uuid:1", 7);
        assert_eq!(read_notify(&headers), Ok(Notify { sid: "uuid:1".into(), sequence: 7 }));
        assert_eq!(read_notify(&[header("NT", "upnp:event")]), Err(400));
        let without = |name: &str| headers.iter().filter(|(known, _)| known != name).cloned().collect::<Vec<_>>();
        assert_eq!((read_notify(&without("SID")), read_notify(&without("SEQ"))), (Err(412), Err(400)));
        let other: Vec<_> = without("NTS").into_iter().chain([header("NTS", "upnp:other")]).collect();
        assert_eq!(read_notify(&other), Err(412));
    }

    #[test]
    fn properties_are_read_as_they_are_written() {
        let written = write_properties([("Status", "1"), ("Name", "<&>")]);
        assert_eq!(read_properties(&written).unwrap(), [("Status".into(), "1".into()), ("Name".into(), "<&>".into())]);
        assert!(read_properties(b"<x/>").is_err() && read_properties(b"").is_err());
    }

    #[test]
    fn timeouts_that_nobody_means_are_not_believed() {
        for (text, seconds) in
            [("Second-300", 300), ("Second-1", 60), ("infinite", 86_400), ("", 1800), ("Second-x", 1800)]
        {
            assert_eq!(timeout(text), seconds, "{text}");
        }
        assert_eq!((next(0), next(u32::MAX)), (1, 1));
    }

    #[test]
    fn last_change_is_taken_apart() {
        let text = r#"<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/"><InstanceID val="0"><Volume channel="Master" val="20"/>
            <Volume channel="LF" val="30"/><Mute val="0"/></InstanceID><InstanceID val="1"><Mute val="1"/></InstanceID></Event>"#;
        assert_eq!(read_last_change(text), [("Volume".into(), "20".into()), ("Mute".into(), "0".into())]);
        assert!(read_last_change("nonsense").is_empty());
    }
}
