//! Device descriptions (UDA 2.0 §2.3). Owns reading them; services come with the URLs that the document has, resolved where they can be.

use super::url::Url;
use super::xml::{self, Element};
use super::{DEVICES_PER_ROOT_MAX, SERVICES_PER_ROOT_MAX, name, ssdp};

/// A root device with its embedded devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// The root first, each before those that are embedded in it.
    pub(crate) devices: Vec<Device>,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// Position of the device that this one is embedded in.
    pub(crate) parent: Option<usize>,
    /// With `uuid:`.
    pub(crate) udn: String,
    pub(crate) device_type: String,
    pub(crate) friendly_name: String,
    pub(crate) manufacturer: String,
    pub(crate) model_name: String,
    pub(crate) model_number: String,
    pub(crate) serial_number: String,
    /// Of things that another tombolo shows: where they are at home, and how far they have come.
    pub(crate) origin: String,
    pub(crate) hops: String,
    pub(crate) services: Vec<Service>,
}

/// A service of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) service_type: String,
    pub(crate) service_id: String,
    pub(crate) scpd: Option<Url>,
    pub(crate) control: Option<Url>,
    /// None: it tells no events.
    pub(crate) events: Option<Url>,
}

/// Reads the document that is at `location`. An error is a sentence's end for the log.
pub(crate) fn parse(bytes: &[u8], location: &Url) -> Result<Description, &'static str> {
    let root = xml::parse(bytes).map_err(xml::XmlError::text)?;
    let device = root.child("device").ok_or("has no device")?;
    // Only UDA 1.0 has it; where it is no URL, the location serves.
    let base = Url::parse(root.text_of("URLBase")).unwrap_or_else(|| location.clone());
    let mut reader = Reader { base, devices: Vec::new(), services: 0 };
    reader.device(device, None);
    match reader.devices.is_empty() {
        true => Err("has no device with a UDN"),
        false => Ok(Description { devices: reader.devices }),
    }
}

struct Reader {
    base: Url,
    devices: Vec<Device>,
    services: usize,
}

impl Reader {
    /// A device without a UDN has no name, and with it what is embedded in it; a second one of the same name is left out. The tree's depth
    /// is the document's, which is bounded.
    fn device(&mut self, element: &Element, parent: Option<usize>) {
        let Some(udn) = ssdp::udn(element.text_of("UDN")) else { return };
        if self.devices.len() >= DEVICES_PER_ROOT_MAX || self.devices.iter().any(|device| device.udn == udn) {
            return;
        }
        let position = self.devices.len();
        let services = element.child("serviceList").map(|list| self.services(list)).unwrap_or_default();
        let text = |of: &str| name(element.text_of(of));
        self.devices.push(Device {
            parent,
            udn,
            device_type: text("deviceType"),
            friendly_name: text("friendlyName"),
            manufacturer: text("manufacturer"),
            model_name: text("modelName"),
            model_number: text("modelNumber"),
            serial_number: text("serialNumber"),
            origin: text("X_tomboloOrigin"),
            hops: text("X_tomboloHops"),
            services,
        });
        let embedded = element.child("deviceList").into_iter().flat_map(|list| list.children_named("device"));
        embedded.for_each(|device| self.device(device, Some(position)));
    }

    fn services(&mut self, list: &Element) -> Vec<Service> {
        let room = SERVICES_PER_ROOT_MAX - self.services;
        let services = list.children_named("service").take(room).map(|element| self.service(element));
        let services: Vec<Service> = services.filter(|service| !service.service_type.is_empty()).collect();
        self.services += services.len();
        services
    }

    fn service(&self, element: &Element) -> Service {
        let url =
            |of: &str| Some(element.text_of(of)).filter(|text| !text.is_empty()).and_then(|text| self.base.join(text));
        Service {
            service_type: name(element.text_of("serviceType")),
            service_id: name(element.text_of("serviceId")),
            scpd: url("SCPDURL"),
            control: url("controlURL"),
            events: url("eventSubURL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Description, &'static str> {
        parse(text.as_bytes(), &Url::parse("http://192.0.2.1:80/a/d.xml").unwrap())
    }

    fn device(udn: &str, inside: &str) -> String {
        format!(
            "<device><UDN>{udn}</UDN><friendlyName> A  lamp\n</friendlyName><deviceType>urn:x:device:Y:1</deviceType>{inside}</device>"
        )
    }

    const SERVICE: &str = "<serviceList><service><serviceType>urn:s:1</serviceType><serviceId>urn:i</serviceId>\
        <SCPDURL>/s.xml</SCPDURL><controlURL>c</controlURL><eventSubURL></eventSubURL></service><service/></serviceList>";

    #[test]
    fn devices_come_before_what_is_embedded_in_them() {
        let inner = device("uuid:B", &format!("{SERVICE}<deviceList>{}</deviceList>", device("uuid:C", "")));
        let all = device("uuid:A", &format!("{SERVICE}<deviceList>{inner}{}</deviceList>", device("uuid:D", "")));
        let description = read(&format!("<root>{all}</root>")).unwrap();
        let tree: Vec<_> = description.devices.iter().map(|device| (device.udn.as_str(), device.parent)).collect();
        assert_eq!(tree, [("uuid:A", None), ("uuid:B", Some(0)), ("uuid:C", Some(1)), ("uuid:D", Some(0))]);
        assert_eq!(
            (description.devices[0].friendly_name.as_str(), description.devices[1].services.len()),
            ("A  lamp", 1)
        );
    }

    #[test]
    fn urls_are_resolved_against_the_location_or_the_base() {
        let url = |description: &Description| {
            let service = &description.devices[0].services[0];
            (
                service.scpd.clone().unwrap().to_string(),
                service.control.clone().unwrap().to_string(),
                service.events.clone(),
            )
        };
        let plain = read(&format!("<root>{}</root>", device("uuid:A", SERVICE))).unwrap();
        assert_eq!(url(&plain), ("http://192.0.2.1:80/s.xml".into(), "http://192.0.2.1:80/a/c".into(), None));
        let based =
            read(&format!("<root><URLBase>http://192.0.2.9/b/</URLBase>{}</root>", device("uuid:A", SERVICE))).unwrap();
        assert_eq!(url(&based).1, "http://192.0.2.9/b/c");
    }

    #[test]
    fn what_has_no_name_is_left_out() {
        assert!(read("<root/>").is_err() && read("<root><device/></root>").is_err() && read("<html>").is_err());
        let twice = device("uuid:A", &format!("<deviceList>{}{}</deviceList>", device("uuid:A", ""), device("x", "")));
        assert_eq!(read(&format!("<root>{twice}</root>")).unwrap().devices.len(), 1);
    }

    #[test]
    fn a_flood_of_devices_and_services_is_cut() {
        let many: String = (0..100).map(|number| device(&format!("uuid:{number}"), SERVICE)).collect();
        let description =
            read(&format!("<root>{}</root>", device("uuid:A", &format!("<deviceList>{many}</deviceList>")))).unwrap();
        assert_eq!(description.devices.len(), DEVICES_PER_ROOT_MAX);
        let services = "<service><serviceType>t</serviceType></service>".repeat(200);
        let description =
            read(&format!("<root>{}</root>", device("uuid:A", &format!("<serviceList>{services}</serviceList>"))))
                .unwrap();
        assert_eq!(description.devices[0].services.len(), SERVICES_PER_ROOT_MAX);
    }
}
