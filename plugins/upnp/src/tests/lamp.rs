//! A light of the standard, as a scripted device: description, SCPDs, SOAP and GENA as its maker would have written them.

use tombolo_sdk::events::{HttpAnswer, HttpCall};

use crate::codec::headers::{get, header};
use crate::codec::{gena, soap};

pub(super) const SWITCH_SCPD: &str = r#"<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<actionList>
<action><name>SetTarget</name><argumentList><argument><name>newTargetValue</name><relatedStateVariable>Target</relatedStateVariable><direction>in</direction></argument></argumentList></action>
<action><name>GetTarget</name><argumentList><argument><name>RetTargetValue</name><relatedStateVariable>Target</relatedStateVariable><direction>out</direction></argument></argumentList></action>
<action><name>GetStatus</name><argumentList><argument><name>ResultStatus</name><relatedStateVariable>Status</relatedStateVariable><direction>out</direction></argument></argumentList></action>
<action><name>Blink</name><argumentList><argument><name>Times</name><relatedStateVariable>A_ARG_TYPE_Times</relatedStateVariable><direction>in</direction></argument>
<argument><name>Done</name><relatedStateVariable>A_ARG_TYPE_Times</relatedStateVariable><direction>out</direction></argument></argumentList></action>
</actionList><serviceStateTable>
<stateVariable sendEvents="no"><name>Target</name><dataType>boolean</dataType><defaultValue>0</defaultValue></stateVariable>
<stateVariable sendEvents="yes"><name>Status</name><dataType>boolean</dataType><defaultValue>0</defaultValue></stateVariable>
<stateVariable sendEvents="no"><name>A_ARG_TYPE_Times</name><dataType>ui4</dataType></stateVariable>
</serviceStateTable></scpd>"#;

const SENSOR_SCPD: &str = r#"<scpd><actionList>
<action><name>GetCurrentTemperature</name><argumentList><argument><name>CurrentTemp</name><direction>out</direction><relatedStateVariable>CurrentTemperature</relatedStateVariable></argument></argumentList></action>
<action><name>SetName</name><argumentList><argument><name>NewName</name><direction>in</direction><relatedStateVariable>Name</relatedStateVariable></argument></argumentList></action>
</actionList><serviceStateTable>
<stateVariable sendEvents="no"><name>CurrentTemperature</name><dataType>i4</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Name</name><dataType>string</dataType></stateVariable>
</serviceStateTable></scpd>"#;

pub(super) const SWITCH: &str = "urn:schemas-upnp-org:service:SwitchPower:1";
const SENSOR: &str = "urn:schemas-upnp-org:service:TemperatureSensor:1";

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Lamp {
    pub(super) authority: String,
    pub(super) udn: String,
    pub(super) name: String,
    pub(super) is_on: bool,
    pub(super) temperature: String,
    /// Callback, SID and the number of the next event.
    pub(super) subscriber: Option<(String, String, u32)>,
    /// Status that it answers `SUBSCRIBE` with.
    pub(super) subscribe_status: u16,
    pub(super) subscriptions: u32,
    /// Actions that were called, with their arguments.
    pub(super) called: Vec<String>,
    /// What its next action fails with.
    pub(super) fault: Option<soap::Fault>,
    /// Something else than its description.
    pub(super) description: Option<String>,
    /// More devices in its description.
    pub(super) embedded: String,
    pub(super) fetches: u32,
}

impl Lamp {
    pub(super) fn new(host: &str, udn: &str) -> Self {
        Self {
            authority: format!("{host}:8000"),
            udn: udn.into(),
            name: "Desk Lamp".into(),
            is_on: false,
            temperature: "2150".into(),
            subscriber: None,
            subscribe_status: 200,
            subscriptions: 0,
            called: Vec::new(),
            fault: None,
            description: None,
            embedded: String::new(),
            fetches: 0,
        }
    }

    pub(super) fn location(&self) -> String {
        format!("http://{}/desc.xml", self.authority)
    }

    pub(super) fn alive(&self, more: &str) -> Vec<u8> {
        let Self { udn, .. } = self;
        format!(
            "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\nLOCATION: {}\r\nNT: upnp:rootdevice\r\n\
             NTS: ssdp:alive\r\nUSN: {udn}::upnp:rootdevice\r\n{more}\r\n",
            self.location()
        )
        .into_bytes()
    }

    pub(super) fn byebye(&self) -> Vec<u8> {
        let Self { udn, .. } = self;
        format!(
            "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: {udn}\r\nNTS: ssdp:byebye\r\nUSN: {udn}\r\n\r\n"
        )
        .into_bytes()
    }

    pub(super) fn described(&self) -> String {
        let Self { udn, name, embedded, .. } = self;
        format!(
            "<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><specVersion><major>1</major><minor>0</minor></specVersion><device>\
             <deviceType>urn:schemas-upnp-org:device:BinaryLight:1</deviceType><friendlyName>{name}</friendlyName><manufacturer>Maker</manufacturer>\
             <modelName>One</modelName><serialNumber>7</serialNumber><UDN>{udn}</UDN><serviceList>\
             <service><serviceType>{SWITCH}</serviceType><serviceId>urn:upnp-org:serviceId:SwitchPower:1</serviceId><SCPDURL>/switch.xml</SCPDURL>\
             <controlURL>/switch/control</controlURL><eventSubURL>/switch/event</eventSubURL></service>\
             <service><serviceType>{SENSOR}</serviceType><serviceId>urn:upnp-org:serviceId:Sensor</serviceId><SCPDURL>sensor.xml</SCPDURL>\
             <controlURL>/sensor/control</controlURL><eventSubURL/></service></serviceList>{embedded}</device></root>"
        )
    }

    pub(super) fn handle(&mut self, call: &HttpCall) -> HttpAnswer {
        let path =
            call.target.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("/");
        match (call.method.as_str(), path) {
            ("GET", "/desc.xml") => {
                self.fetches += 1;
                text(self.description.clone().unwrap_or_else(|| self.described()))
            }
            ("GET", "/switch.xml") => text(SWITCH_SCPD.into()),
            ("GET", "/sensor.xml") => text(SENSOR_SCPD.into()),
            ("SUBSCRIBE", "/switch/event") => self.subscribe(call),
            ("UNSUBSCRIBE", "/switch/event") => {
                let sid = get(&call.headers, "SID").unwrap_or_default().to_owned();
                self.called.push("UNSUBSCRIBE".into());
                if self.subscriber.as_ref().is_some_and(|(_, known, _)| *known == sid) {
                    self.subscriber = None;
                }
                status(200)
            }
            ("POST", "/switch/control" | "/sensor/control") => self.control(call),
            _ => status(404),
        }
    }

    fn subscribe(&mut self, call: &HttpCall) -> HttpAnswer {
        if self.subscribe_status != 200 {
            return status(self.subscribe_status);
        }
        let sid = match gena::read_subscribe(&call.headers) {
            Ok(gena::Subscribe::New { callbacks, .. }) => {
                self.subscriptions += 1;
                let sid = format!("uuid:sub-{}", self.subscriptions);
                self.subscriber = Some((callbacks[0].clone(), sid.clone(), 0));
                sid
            }
            Ok(gena::Subscribe::Renew { sid, .. })
                if self.subscriber.as_ref().is_some_and(|(_, known, _)| *known == sid) =>
            {
                self.called.push("RENEW".into());
                sid
            }
            Ok(gena::Subscribe::Renew { .. }) => return status(412),
            Err(code) => return status(code),
        };
        HttpAnswer {
            status: 200,
            headers: vec![header("SID", &sid), header("TIMEOUT", "Second-300")],
            body: Vec::new(),
        }
    }

    fn control(&mut self, call: &HttpCall) -> HttpAnswer {
        let (action, arguments) = soap::read_request(&call.body).unwrap();
        let service = if call.target.contains("/switch/") { SWITCH } else { SENSOR };
        let expected = if action == soap::QUERY {
            format!("\"{}#{action}\"", soap::CONTROL)
        } else {
            format!("\"{service}#{action}\"")
        };
        assert_eq!(get(&call.headers, "SOAPACTION"), Some(expected.as_str()));
        let said: Vec<String> = arguments.iter().map(|(name, text)| format!("{name}={text}")).collect();
        self.called.push(format!("{action}({})", said.join(",")));
        let of = |text: &str| {
            arguments.iter().find(|(name, _)| name == text).map(|(_, text)| text.clone()).unwrap_or_default()
        };
        if let Some(fault) = self.fault.take() {
            return HttpAnswer { status: 500, headers: Vec::new(), body: soap::write_fault(&fault) };
        }
        let results: Vec<(&str, String)> = match action.as_str() {
            "SetTarget" => {
                self.is_on = of("newTargetValue") == "1";
                Vec::new()
            }
            "GetStatus" => vec![("ResultStatus", u8::from(self.is_on).to_string())],
            "GetCurrentTemperature" => vec![("CurrentTemp", self.temperature.clone())],
            "SetName" => Vec::new(),
            "Blink" => vec![("Done", of("Times"))],
            _ => {
                return HttpAnswer {
                    status: 500,
                    headers: Vec::new(),
                    body: soap::write_fault(&soap::Fault::new(401, "Invalid Action")),
                };
            }
        };
        let results: Vec<(String, String)> = results.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        HttpAnswer { status: 200, headers: Vec::new(), body: soap::write_answer(service, &action, &results) }
    }

    /// The next notification: the URL and what it says.
    pub(super) fn notification(&mut self) -> (String, HttpCall) {
        let status = u8::from(self.is_on).to_string();
        let (callback, sid, sequence) = self.subscriber.as_mut().expect("somebody subscribed");
        let headers = gena::notify(sid, *sequence);
        *sequence = gena::next(*sequence);
        let body = gena::write_properties([("Status", status.as_str())]);
        (callback.clone(), HttpCall { method: "NOTIFY".into(), target: String::new(), headers, body })
    }
}

fn text(body: String) -> HttpAnswer {
    HttpAnswer { status: 200, headers: vec![header("CONTENT-TYPE", "text/xml")], body: body.into_bytes() }
}

pub(super) fn status(status: u16) -> HttpAnswer {
    HttpAnswer { status, headers: Vec::new(), body: Vec::new() }
}
