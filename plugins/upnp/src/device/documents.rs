//! The documents of our devices: description (UDA 2.0 §2.3) and service descriptions (§2.5). Owns how they read.

use super::shape::{Form, Service, Shape, Variable};
use crate::codec::xml::element;

/// The description of the device with this UDN; `base` is the path that its URLs begin with.
pub(super) fn description(shape: &Shape, udn: &str, base: &str, config_id: u32) -> String {
    let services: String = shape.services.iter().map(|service| entry(service, base)).collect();
    let optional = [
        ("modelNumber", &shape.model_number),
        ("serialNumber", &shape.serial_number),
        ("X_tomboloOrigin", &shape.origin),
        ("X_tomboloHops", &shape.hops),
    ];
    let optional: String =
        optional.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| element(name, text)).collect();
    format!(
        "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\" configId=\"{config_id}\">\
         <specVersion><major>1</major><minor>1</minor></specVersion><device>{}{}{}{}{optional}{}<serviceList>{services}</serviceList></device></root>\n",
        element("deviceType", &shape.device_type),
        element("friendlyName", &shape.label),
        element("manufacturer", &shape.manufacturer),
        element("modelName", &shape.model_name),
        element("UDN", udn),
    )
}

fn entry(service: &Service, base: &str) -> String {
    let slug = &service.slug;
    format!(
        "<service>{}{}{}{}{}</service>",
        element("serviceType", &service.service_type),
        element("serviceId", &service.service_id),
        element("SCPDURL", &format!("{base}/{slug}.xml")),
        element("controlURL", &format!("{base}/{slug}/control")),
        element("eventSubURL", &format!("{base}/{slug}/event")),
    )
}

/// The description of a service.
pub(super) fn scpd(service: &Service) -> String {
    let actions: String = service.actions.iter().map(|action| {
        let variable = service.variables.get(action.variable).map(|variable| variable.name.as_str()).unwrap_or_default();
        let direction = if action.is_set { "in" } else { "out" };
        format!(
            "<action>{}<argumentList><argument>{}<direction>{direction}</direction>{}</argument></argumentList></action>",
            element("name", &action.name),
            element("name", &action.argument),
            element("relatedStateVariable", variable),
        )
    }).collect();
    let actions = if actions.is_empty() { actions } else { format!("<actionList>{actions}</actionList>") };
    let variables: String = service.variables.iter().map(variable).collect();
    format!(
        "<?xml version=\"1.0\"?>\n<scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><specVersion><major>1</major><minor>1</minor></specVersion>\
         {actions}<serviceStateTable>{variables}</serviceStateTable></scpd>\n"
    )
}

fn variable(variable: &Variable) -> String {
    let allowed = match &variable.form {
        Form::Percent { .. } => {
            "<allowedValueRange><minimum>0</minimum><maximum>100</maximum><step>1</step></allowedValueRange>".to_owned()
        }
        Form::Members(members) => {
            let all: String = members.iter().map(|member| element("allowedValue", member)).collect();
            format!("<allowedValueList>{all}</allowedValueList>")
        }
        _ => String::new(),
    };
    format!(
        "<stateVariable sendEvents=\"{}\">{}{}{allowed}</stateVariable>",
        if variable.is_evented { "yes" } else { "no" },
        element("name", &variable.name),
        element("dataType", variable.form.data_type()),
    )
}
