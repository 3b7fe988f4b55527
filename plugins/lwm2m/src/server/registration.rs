//! What a device says of itself when it registers (LwM2M 1.1 core §6.2). Owns reading it as devices really write it: without binding, with
//! the letters of another version, with attributes that nobody knows, with versions quoted or bare.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::codec::message::code;
use crate::codec::{Path, link};
use crate::session::Answer;

/// LWM2M 1.0.2 §5.3.1: what holds where no lifetime is told.
pub(super) const LIFETIME_S: u32 = 86_400;
/// Longest endpoint name.
const NAME_BYTES_MAX: usize = 200;
/// Objects that hold keys: neither shown nor asked for (LwM2M 1.1 core §E.1, OSCORE).
const SECRET: &[u16] = &[0, 21];

/// A Register or an Update; what an Update leaves out stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) endpoint: Option<String>,
    pub(super) lifetime_s: Option<u32>,
    pub(super) version: Option<Version>,
    pub(super) binding: Option<String>,
    /// The device listens only for a while after it was heard.
    pub(super) is_queue: Option<bool>,
    pub(super) offer: Option<Offer>,
}

/// Whether composite operations and SenML exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Version {
    #[default]
    V1_0,
    V1_1,
}

/// What a device has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    /// What its paths begin with, as segments; mostly nothing (`rt="oma.lwm2m"`).
    pub(super) root: Vec<String>,
    /// Content formats that it says it has.
    pub(super) formats: Vec<u16>,
    pub(super) instances: BTreeSet<Path>,
}

impl Registration {
    /// Reads query and body; an error is the answer.
    pub(super) fn read(query: &[String], body: &[u8], instances_max: usize) -> Result<Self, Answer> {
        let mut registration = Self::default();
        for part in query {
            let (name, value) = part.split_once('=').map_or((part.as_str(), None), |(name, value)| (name, Some(value)));
            registration.add(name, value)?;
        }
        if !body.is_empty() {
            registration.offer = Some(Offer::read(body, instances_max)?);
        }
        // Of 1.0 the binding has a Q; of 1.1 there is a parameter of its own.
        if let Some(binding) = &registration.binding {
            let is_queue = registration.is_queue == Some(true) || binding.contains('Q');
            registration.is_queue = Some(is_queue);
        }
        Ok(registration)
    }

    fn add(&mut self, name: &str, value: Option<&str>) -> Result<(), Answer> {
        match (name, value) {
            ("ep", Some(endpoint)) => {
                if endpoint.is_empty() || endpoint.len() > NAME_BYTES_MAX || endpoint.chars().any(char::is_control) {
                    return Err(Answer::refused(code::BAD_REQUEST, "ep"));
                }
                self.endpoint = Some(endpoint.to_owned());
            }
            ("lt", Some(lifetime)) => {
                let seconds = lifetime.parse().map_err(|_| Answer::refused(code::BAD_REQUEST, "lt"))?;
                // Of 1.1: without end.
                self.lifetime_s = Some(if seconds == 0 { u32::MAX } else { seconds });
            }
            ("lwm2m", Some(version)) => self.version = Some(Version::read(version)?),
            ("b", Some(binding)) => self.binding = Some(binding.chars().take(8).collect()),
            ("Q", _) => self.is_queue = Some(true),
            // `sms`, and what others add.
            _ => {}
        }
        Ok(())
    }
}

impl Version {
    /// Major and minor number; whatever follows says nothing.
    fn read(text: &str) -> Result<Self, Answer> {
        let mut numbers = text.split('.').map(str::parse::<u16>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(1)), None | Some(Ok(0))) => Ok(Self::V1_0),
            (Some(Ok(1)), Some(Ok(_))) => Ok(Self::V1_1),
            (Some(Ok(_)), _) => Err(Answer::refused(code::PRECONDITION_FAILED, "LwM2M 1.0 and 1.1 are known here")),
            _ => Err(Answer::refused(code::BAD_REQUEST, "lwm2m")),
        }
    }
}

impl Offer {
    fn read(body: &[u8], instances_max: usize) -> Result<Self, Answer> {
        let links = link::parse(body).map_err(|malformed| Answer::refused(code::BAD_REQUEST, malformed.0))?;
        let mut offer = Self::default();
        let root =
            links.iter().find(|link| link.attribute("rt").is_some_and(|rt| rt.split(' ').any(|rt| rt == "oma.lwm2m")));
        if let Some(root) = root.or_else(|| links.iter().find(|link| link.target == "/")) {
            offer.root = segments(&root.target).map(str::to_owned).collect();
            let formats = root.attribute("ct").unwrap_or_default();
            offer.formats = formats.split([' ', ',']).filter_map(|format| format.parse().ok()).take(16).collect();
        }
        for link in &links {
            let mut own = segments(&link.target);
            if !offer.root.iter().all(|segment| own.next() == Some(segment)) {
                continue;
            }
            let path = Path::of_segments(own).filter(|path| path.len() == 2);
            offer.instances.extend(path.filter(|path| path.object().is_some_and(|object| !SECRET.contains(&object))));
        }
        if offer.instances.len() > instances_max {
            let why = format!("more than {instances_max} object instances");
            return Err(Answer::refused(code::BAD_REQUEST, &why));
        }
        Ok(offer)
    }
}

fn segments(target: &str) -> impl Iterator<Item = &str> {
    target.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, body: &str) -> Result<Registration, u8> {
        let query: Vec<String> = query.split('&').map(str::to_owned).collect();
        Registration::read(&query, body.as_bytes(), 4).map_err(|answer| answer.code)
    }

    fn instances(body: &str) -> Vec<String> {
        read("ep=a", body).unwrap().offer.unwrap().instances.iter().map(Path::to_string).collect()
    }

    #[test]
    fn a_registration_of_the_specification() {
        let registration =
            read("ep=urn:imei:1&lt=300&lwm2m=1.1&b=U&Q", "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1/0>,</3/0>").unwrap();
        assert_eq!(registration.endpoint.as_deref(), Some("urn:imei:1"));
        assert_eq!((registration.lifetime_s, registration.version), (Some(300), Some(Version::V1_1)));
        assert_eq!(registration.is_queue, Some(true));
        assert_eq!(registration.offer.unwrap().formats, [110, 112]);
    }

    #[test]
    fn what_devices_really_write() {
        assert_eq!(read("ep=a&lwm2m=1.0.0", "").unwrap().version, Some(Version::V1_0));
        assert_eq!(read("ep=a&b=UQ", "").unwrap().is_queue, Some(true));
        assert_eq!(read("ep=a", "").unwrap().is_queue, None);
        assert_eq!(read("ep=a&lt=0", "").unwrap().lifetime_s, Some(u32::MAX));
        assert_eq!(read("ep=a&x=y&z&mac=1", "").unwrap(), read("ep=a", "").unwrap());
        assert_eq!(
            instances("</3303/0>;ver=1.1,</3304/0>;ver=\"1.1\";x;y=,</3305>,</1/0>;ssid=1"),
            ["/1/0", "/3303/0", "/3304/0"]
        );
        let offer = read("ep=a", "</>;rt=\"oma.lwm2m\";ct=11543;hb,</3/0>").unwrap().offer.unwrap();
        assert_eq!((offer.formats, offer.root), (vec![11_543], vec![]));
    }

    #[test]
    fn paths_may_begin_elsewhere() {
        let offer = read("ep=a", "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/3/0>,</4/0>").unwrap().offer.unwrap();
        assert_eq!((offer.root, offer.instances.len()), (vec!["lwm2m".to_owned()], 1));
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(instances("</0/0>,</21/0>,</3/0>"), ["/3/0"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_as_the_protocol_says() {
        assert_eq!(read("ep=", ""), Err(code::BAD_REQUEST));
        assert_eq!(read("ep=a&lt=soon", ""), Err(code::BAD_REQUEST));
        assert_eq!(read("ep=a&lwm2m=2.0", ""), Err(code::PRECONDITION_FAILED));
        assert_eq!(read("ep=a&lwm2m=new", ""), Err(code::BAD_REQUEST));
        assert_eq!(read("ep=a", "no links"), Err(code::BAD_REQUEST));
        assert_eq!(read("ep=a", "</3/0>,</3/1>,</3/2>,</3/3>,</3/4>"), Err(code::BAD_REQUEST));
    }
}
