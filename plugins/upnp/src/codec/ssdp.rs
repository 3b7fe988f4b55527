//! Datagrams of SSDP (UDA 2.0 §1.2, §1.3). Owns their words; says nothing about whether they are to be believed.
//!
//! They look like HTTP and are written by devices that take it easily: header names in any case, bare line feeds, a missing last line,
//! reason phrases of any kind. Whatever is no announcement, no search and no answer to one is an error.

use super::url::Url;
use super::{DATAGRAM_BYTES_MAX, headers, name};

/// Where announcements and searches go.
pub(crate) const GROUP: &str = "239.255.255.250:1900";
/// What finds each device once.
pub(crate) const ROOT_DEVICE: &str = "upnp:rootdevice";
/// What finds everything.
pub(crate) const ALL: &str = "ssdp:all";
/// Seconds that an announcement is good for if it does not say.
const MAX_AGE_S: u32 = 1800;
/// Shorter is not believed: it would make devices come and go between two of their announcements.
const MAX_AGE_S_MIN: u32 = 30;
/// Longer is not believed: a device that is gone would stay for days.
const MAX_AGE_S_MAX: u32 = 86_400;
/// Longest delay of an answer, in seconds (UDA 2.0 §1.3.2).
const MX_S_MAX: u32 = 5;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// `NOTIFY` with `ssdp:alive`, or an answer to a search.
    Here(Announcement),
    /// `NOTIFY` with `ssdp:byebye`.
    Gone { udn: String },
    /// `NOTIFY` with `ssdp:update`: the device goes on under another boot id.
    Update { udn: String, location: Option<Url>, next_boot_id: u32 },
    /// `M-SEARCH`.
    Search(Search),
}

/// A device that says that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// With `uuid:`.
    pub(crate) udn: String,
    /// `NT` or `ST`.
    pub(crate) target: String,
    pub(crate) location: Url,
    pub(crate) max_age_s: u32,
    pub(crate) boot_id: Option<u32>,
    pub(crate) config_id: Option<u32>,
}

/// Somebody who looks for devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) target: String,
    /// Answers are to come within this time, at random.
    pub(crate) within_s: u32,
}

/// Why a datagram is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSsdp {
    TooLong,
    NotText,
    /// Another method, another `NTS`, a status other than 200, a search that is none.
    OtherBusiness,
    /// No `USN` with a `uuid:`, no `LOCATION` that is a URL, no number where one belongs.
    Incomplete,
}

/// Reads a datagram.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message, NotSsdp> {
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return Err(NotSsdp::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NotSsdp::NotText)?;
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let mut first = lines.next().unwrap_or_default().split_ascii_whitespace();
    let fields = Fields(lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':')).collect());
    match (first.next(), first.next()) {
        (Some("NOTIFY"), Some("*")) => notify(&fields),
        (Some("M-SEARCH"), Some("*")) => search(&fields),
        (Some(version), Some("200")) if version.starts_with("HTTP/1.") => here(&fields, "ST"),
        _ => Err(NotSsdp::OtherBusiness),
    }
}

struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The device of `USN`: `uuid:X` or `uuid:X::more`.
    fn udn(&self) -> Result<String, NotSsdp> {
        let usn = self.get("USN").ok_or(NotSsdp::Incomplete)?;
        udn(usn.split("::").next().unwrap_or_default()).ok_or(NotSsdp::Incomplete)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    fn location(&self) -> Option<Url> {
        Url::parse(self.get("LOCATION").or_else(|| self.get("AL"))?)
    }
}

/// A device's name as it is compared: `uuid:` and something after it.
pub(crate) fn udn(text: &str) -> Option<String> {
    let text = text.trim();
    let (scheme, rest) = text.split_once(':')?;
    let is_fit =
        scheme.eq_ignore_ascii_case("uuid") && !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
    (is_fit && rest.len() <= 128).then(|| format!("uuid:{rest}"))
}

fn notify(fields: &Fields<'_>) -> Result<Message, NotSsdp> {
    match fields.get("NTS") {
        Some("ssdp:alive") => here(fields, "NT"),
        Some("ssdp:byebye") => Ok(Message::Gone { udn: fields.udn()? }),
        Some("ssdp:update") => {
            let next_boot_id = fields.number("NEXTBOOTID.UPNP.ORG").ok_or(NotSsdp::Incomplete)?;
            Ok(Message::Update { udn: fields.udn()?, location: fields.location(), next_boot_id })
        }
        _ => Err(NotSsdp::OtherBusiness),
    }
}

fn here(fields: &Fields<'_>, target: &str) -> Result<Message, NotSsdp> {
    Ok(Message::Here(Announcement {
        udn: fields.udn()?,
        target: name(fields.get(target).ok_or(NotSsdp::Incomplete)?),
        location: fields.location().ok_or(NotSsdp::Incomplete)?,
        max_age_s: max_age(fields.get("CACHE-CONTROL").unwrap_or_default()),
        boot_id: fields.number("BOOTID.UPNP.ORG"),
        config_id: fields.number("CONFIGID.UPNP.ORG"),
    }))
}

fn max_age(cache_control: &str) -> u32 {
    let directives = cache_control.split(',').filter_map(|directive| directive.split_once('='));
    let mut ages = directives.filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"));
    let age = ages.next().and_then(|(_, age)| age.trim().trim_matches('"').parse().ok()).unwrap_or(MAX_AGE_S);
    age.clamp(MAX_AGE_S_MIN, MAX_AGE_S_MAX)
}

/// A search without `MX` that came over the group must not be answered; one to our own port says nothing about it and is answered at once.
fn search(fields: &Fields<'_>) -> Result<Message, NotSsdp> {
    if fields.get("MAN").map(|man| man.trim_matches('"')) != Some("ssdp:discover") {
        return Err(NotSsdp::OtherBusiness);
    }
    let within_s = fields.number("MX").filter(|seconds| *seconds > 0).ok_or(NotSsdp::Incomplete)?.min(MX_S_MAX);
    Ok(Message::Search(Search { target: name(fields.get("ST").ok_or(NotSsdp::Incomplete)?), within_s }))
}

/// A search of ours.
pub(crate) fn write_search(target: &str, within_s: u32) -> Vec<u8> {
    let product = headers::product();
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: {within_s}\r\nST: {target}\r\nUSER-AGENT: {product}\r\n\r\n"
    )
    .into_bytes()
}

/// What of ours is announced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    /// `NT` or `ST`.
    pub(crate) target: &'a str,
    pub(crate) usn: &'a str,
    pub(crate) location: &'a str,
    pub(crate) max_age_s: u32,
    pub(crate) boot_id: u32,
    pub(crate) config_id: u32,
}

impl Own<'_> {
    /// `NOTIFY` with `ssdp:alive`.
    pub(crate) fn alive(&self) -> Vec<u8> {
        let Self { target, usn, location, max_age_s, boot_id, config_id } = self;
        let product = headers::product();
        format!(
            "NOTIFY * HTTP/1.1\r\nHOST: {GROUP}\r\nCACHE-CONTROL: max-age={max_age_s}\r\nLOCATION: {location}\r\nNT: {target}\r\n\
             NTS: ssdp:alive\r\nSERVER: {product}\r\nUSN: {usn}\r\nBOOTID.UPNP.ORG: {boot_id}\r\nCONFIGID.UPNP.ORG: {config_id}\r\n\r\n"
        )
        .into_bytes()
    }

    /// `NOTIFY` with `ssdp:byebye`.
    pub(crate) fn byebye(&self) -> Vec<u8> {
        let Self { target, usn, boot_id, config_id, .. } = self;
        format!(
            "NOTIFY * HTTP/1.1\r\nHOST: {GROUP}\r\nNT: {target}\r\nNTS: ssdp:byebye\r\nUSN: {usn}\r\n\
             BOOTID.UPNP.ORG: {boot_id}\r\nCONFIGID.UPNP.ORG: {config_id}\r\n\r\n"
        )
        .into_bytes()
    }

    /// The answer to a search; `date` as HTTP has it.
    pub(crate) fn answer(&self, date: &str) -> Vec<u8> {
        let Self { target, usn, location, max_age_s, boot_id, config_id } = self;
        let product = headers::product();
        format!(
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age={max_age_s}\r\nDATE: {date}\r\nEXT:\r\nLOCATION: {location}\r\n\
             SERVER: {product}\r\nST: {target}\r\nUSN: {usn}\r\nBOOTID.UPNP.ORG: {boot_id}\r\nCONFIGID.UPNP.ORG: {config_id}\r\n\r\n"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIVE: &str = "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=100\r\nLOCATION: http://192.0.2.1:80/d.xml\r\n\
        NT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nUSN: uuid:L1::upnp:rootdevice\r\nBOOTID.UPNP.ORG: 7\r\nCONFIGID.UPNP.ORG: 3\r\n\r\n";

    fn announcement() -> Announcement {
        Announcement {
            udn: "uuid:L1".into(),
            target: ROOT_DEVICE.into(),
            location: Url::parse("http://192.0.2.1:80/d.xml").unwrap(),
            max_age_s: 100,
            boot_id: Some(7),
            config_id: Some(3),
        }
    }

    #[test]
    fn announcements_are_read() {
        assert_eq!(parse(ALIVE.as_bytes()), Ok(Message::Here(announcement())));
        let answer = "HTTP/1.1 200 Fine\nst:upnp:rootdevice\nUsn: UUID:L1\nlocation: http://192.0.2.1:80/d.xml\nCache-Control: no-cache=\"Ext\", max-age = 100\nBOOTID.UPNP.ORG:7\nCONFIGID.UPNP.ORG: 3";
        assert_eq!(parse(answer.as_bytes()), Ok(Message::Here(announcement())));
    }

    #[test]
    fn goodbyes_and_updates_are_read() {
        let gone = ALIVE.replace("ssdp:alive", "ssdp:byebye");
        assert_eq!(parse(gone.as_bytes()), Ok(Message::Gone { udn: "uuid:L1".into() }));
        let update = ALIVE.replace("ssdp:alive", "ssdp:update");
        assert_eq!(parse(update.as_bytes()), Err(NotSsdp::Incomplete));
        let update = update.replace("BOOTID.UPNP.ORG: 7", "BOOTID.UPNP.ORG: 7\r\nNEXTBOOTID.UPNP.ORG: 9");
        let Ok(Message::Update { next_boot_id: 9, location: Some(_), .. }) = parse(update.as_bytes()) else { panic!() };
    }

    #[test]
    fn searches_are_read_with_the_longest_delay_that_is_allowed() {
        let search = |mx: u32| Ok(Message::Search(Search { target: ALL.into(), within_s: mx }));
        assert_eq!(parse(&write_search(ALL, 3)), search(3));
        assert_eq!(parse(&write_search(ALL, 120)), search(5));
        let text = String::from_utf8(write_search(ALL, 3)).unwrap();
        assert_eq!(parse(text.replace("MX: 3\r\n", "").as_bytes()), Err(NotSsdp::Incomplete));
        assert_eq!(parse(text.replace("ssdp:discover", "x").as_bytes()), Err(NotSsdp::OtherBusiness));
    }

    #[test]
    fn ages_that_nobody_means_are_not_believed() {
        for (text, age) in
            [("max-age=0", 30), ("max-age=99999999", 86_400), ("", 1800), ("max-age=x", 1800), ("max-age=\"60\"", 60)]
        {
            assert_eq!(max_age(text), age, "{text}");
        }
    }

    #[test]
    fn nonsense_is_left_alone() {
        let all: [(&[u8], NotSsdp); 7] = [
            (b"", NotSsdp::OtherBusiness),
            (b"\xff\xfe", NotSsdp::NotText),
            (b"GET / HTTP/1.1\r\n\r\n", NotSsdp::OtherBusiness),
            (b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\n\r\n", NotSsdp::Incomplete),
            (b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:byebye\r\nUSN: uuid:\r\n\r\n", NotSsdp::Incomplete),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", NotSsdp::OtherBusiness),
            (&[b'x'; 5000], NotSsdp::TooLong),
        ];
        for (bytes, error) in all {
            assert_eq!(parse(bytes), Err(error));
        }
        for odd in ["uuid:L1", "LOCATION: http://192.0.2.1:80/d.xml"] {
            let broken = ALIVE.replace(odd, &odd.replace("uuid", "urn").replace("http:", "file:"));
            assert_eq!(parse(broken.as_bytes()), Err(NotSsdp::Incomplete), "{odd}");
        }
    }

    #[test]
    fn what_we_write_we_read() {
        let own = Own {
            target: ROOT_DEVICE,
            usn: "uuid:L1::upnp:rootdevice",
            location: "http://192.0.2.1:80/d.xml",
            max_age_s: 100,
            boot_id: 7,
            config_id: 3,
        };
        assert_eq!(parse(&own.alive()), Ok(Message::Here(announcement())));
        assert_eq!(parse(&own.answer("now")), Ok(Message::Here(announcement())));
        assert_eq!(parse(&own.byebye()), Ok(Message::Gone { udn: "uuid:L1".into() }));
    }
}
