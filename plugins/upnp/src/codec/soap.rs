//! Control messages (UDA 2.0 §3): requests, answers and faults of SOAP 1.1. Owns both sides of them.

use super::xml::{self, Element};

/// Names with their texts, in order.
pub(crate) type Arguments = Vec<(String, String)>;

/// What `SOAPACTION` and `QueryStateVariable` use.
pub(crate) const CONTROL: &str = "urn:schemas-upnp-org:control-1-0";
/// Deprecated since UDA 1.1, and what some devices have instead of getters.
pub(crate) const QUERY: &str = "QueryStateVariable";

/// What went wrong at the device (UDA 2.0 §3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: u32,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(code: u32, text: &str) -> Self {
        Self { code, text: text.into() }
    }
}

fn envelope(body: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>{body}</s:Body></s:Envelope>\r\n"
    )
    .into_bytes()
}

fn list(arguments: &[(String, String)]) -> String {
    arguments.iter().map(|(name, text)| xml::element(name, text)).collect()
}

/// A request. Names must be fit for elements.
pub(crate) fn write_request(service_type: &str, action: &str, arguments: &[(String, String)]) -> Vec<u8> {
    envelope(&format!("<u:{action} xmlns:u=\"{}\">{}</u:{action}>", xml::escape(service_type), list(arguments)))
}

/// A request for one state variable.
pub(crate) fn write_query(variable: &str) -> Vec<u8> {
    envelope(&format!("<u:{QUERY} xmlns:u=\"{CONTROL}\">{}</u:{QUERY}>", xml::element("u:varName", variable)))
}

/// The answer to a request.
pub(crate) fn write_answer(service_type: &str, action: &str, arguments: &[(String, String)]) -> Vec<u8> {
    envelope(&format!(
        "<u:{action}Response xmlns:u=\"{}\">{}</u:{action}Response>",
        xml::escape(service_type),
        list(arguments)
    ))
}

/// A fault; goes with the status 500.
pub(crate) fn write_fault(fault: &Fault) -> Vec<u8> {
    envelope(&format!(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
         <UPnPError xmlns=\"{CONTROL}\"><errorCode>{}</errorCode>{}</UPnPError></detail></s:Fault>",
        fault.code,
        xml::element("errorDescription", &fault.text)
    ))
}

fn body(bytes: &[u8]) -> Result<Element, &'static str> {
    let envelope = xml::parse(bytes).map_err(xml::XmlError::text)?;
    let body = envelope.children.into_iter().find(|child| child.name == "Body").ok_or("has no body")?;
    body.children.into_iter().next().ok_or("has an empty body")
}

fn arguments(element: Element) -> Arguments {
    element.children.into_iter().map(|child| (child.name, child.text)).collect()
}

/// Reads a request: the action and its arguments. An error is a sentence's end.
pub(crate) fn read_request(bytes: &[u8]) -> Result<(String, Arguments), &'static str> {
    let element = body(bytes)?;
    Ok((element.name.clone(), arguments(element)))
}

/// Reads an answer: the arguments, or the fault. An error is a sentence's end.
pub(crate) fn read_answer(bytes: &[u8]) -> Result<Result<Arguments, Fault>, &'static str> {
    let element = body(bytes)?;
    if element.name != "Fault" {
        return Ok(Ok(arguments(element)));
    }
    let error = element.child("detail").and_then(|detail| detail.child("UPnPError"));
    let code = error.and_then(|error| error.text_of("errorCode").parse().ok()).unwrap_or(501);
    let text = error.map(|error| error.text_of("errorDescription")).filter(|text| !text.is_empty());
    Ok(Err(Fault { code, text: super::name(text.unwrap_or_else(|| element.text_of("faultstring"))) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "urn:schemas-upnp-org:service:SwitchPower:1";

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.into(), text.into())
    }

    #[test]
    fn requests_are_read_as_they_were_written() {
        let sent = write_request(TYPE, "SetTarget", &[pair("newTargetValue", "1"), pair("b", "<&>")]);
        let expected = ("SetTarget".to_owned(), vec![pair("newTargetValue", "1"), pair("b", "<&>")]);
        assert_eq!(read_request(&sent), Ok(expected));
        assert_eq!(read_request(&write_query("Status")).unwrap(), (QUERY.to_owned(), vec![pair("varName", "Status")]));
    }

    #[test]
    fn answers_and_faults_are_read_as_they_were_written() {
        let answer = write_answer(TYPE, "GetStatus", &[pair("ResultStatus", "1")]);
        assert_eq!(read_answer(&answer), Ok(Ok(vec![pair("ResultStatus", "1")])));
        let fault = Fault::new(601, "Argument Value Out of Range");
        assert_eq!(read_answer(&write_fault(&fault)), Ok(Err(fault)));
    }

    #[test]
    fn a_fault_without_detail_is_one_of_its_action() {
        let bare = b"<E><Body><Fault><faultcode>x</faultcode><faultstring>no</faultstring></Fault></Body></E>";
        assert_eq!(read_answer(bare), Ok(Err(Fault::new(501, "no"))));
    }

    #[test]
    fn what_is_no_envelope_is_an_error() {
        for text in ["", "<a/>", "<a><Body/></a>", "<html><body>no</body></html>"] {
            assert!(read_answer(text.as_bytes()).is_err() && read_request(text.as_bytes()).is_err(), "{text}");
        }
    }
}
