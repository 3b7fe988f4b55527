//! Simulated devices: they announce themselves by Home Assistant's MQTT discovery, publish, and really react to commands.
//!
//! Each device is a subscriber and a few publishers of its own against a real broker. A command changes the device's state, and the new
//! state is published only then. Nothing here knows tombolo.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::Outcome;
use crate::broker::Broker;
use crate::process::Process;

/// How often a sensor measures.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// What a device heard: topic and payload.
pub type Command = (String, String);

/// Every command that any device received, in order.
#[derive(Clone, Default)]
pub struct Heard(Arc<(Mutex<Vec<Command>>, std::sync::Condvar)>);

impl Heard {
    fn push(&self, topic: &str, payload: &str) {
        let mut heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push((topic.to_owned(), payload.to_owned()));
        self.0.1.notify_all();
    }

    /// The payload of the first command on a topic; waits for it.
    pub fn wait(&self, topic: &str, limit: Duration) -> Option<String> {
        let heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            |heard: &Vec<Command>| heard.iter().find(|command| command.0 == topic).map(|command| command.1.clone());
        let waited = self.0.1.wait_timeout_while(heard, limit, |heard| found(heard).is_none());
        found(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// A small household on a broker. Ends with its value.
pub struct Household {
    /// What the devices were told.
    pub heard: Heard,
    threads: Vec<std::thread::JoinHandle<()>>,
    stops: Vec<Sender<()>>,
    subscribers: Vec<Process>,
}

impl Household {
    /// Announces and starts all devices.
    pub fn start(broker: &Broker) -> Outcome<Self> {
        let heard = Heard::default();
        let mut household = Self { heard, threads: Vec::new(), stops: Vec::new(), subscribers: Vec::new() };
        household.climate_sensor(broker)?;
        household.plug(broker)?;
        household.lamp(broker)?;
        household.thermostat(broker)?;
        household.water_meter(broker)?;
        Ok(household)
    }

    /// A sensor of temperature and humidity: one JSON document a second.
    fn climate_sensor(&mut self, broker: &Broker) -> Outcome<()> {
        let device = r#""dev":{"ids":["climate-1"],"name":"Living room climate","mf":"Simulated","mdl":"TH-1"}"#;
        announce(
            broker,
            "sensor/climate-1/temperature",
            &format!(
                r#"{{"name":"Temperature","uniq_id":"climate-1-t","stat_t":"sim/climate-1","val_tpl":"{{{{ value_json.temperature }}}}","unit_of_meas":"°C","dev_cla":"temperature",{device}}}"#
            ),
        )?;
        announce(
            broker,
            "sensor/climate-1/humidity",
            &format!(
                r#"{{"name":"Humidity","uniq_id":"climate-1-h","stat_t":"sim/climate-1","val_tpl":"{{{{ value_json.humidity }}}}","unit_of_meas":"%","dev_cla":"humidity",{device}}}"#
            ),
        )?;
        let mut publisher = broker.publisher("sim/climate-1", true)?;
        let mut step = 0_u32;
        self.every(MEASURE_EVERY, move || {
            step = step.wrapping_add(1);
            let swing = step % 20;
            publisher.write_line(&format!(r#"{{"temperature":21.{swing:02},"humidity":{}}}"#, 40 + swing)).is_ok()
        });
        Ok(())
    }

    /// A plug that switches and measures power.
    fn plug(&mut self, broker: &Broker) -> Outcome<()> {
        let device = r#""dev":{"ids":["plug-1"],"name":"Coffee machine","mf":"Simulated","mdl":"P-1"}"#;
        announce(
            broker,
            "switch/plug-1/switch",
            &format!(
                r#"{{"name":"Switch","uniq_id":"plug-1-s","stat_t":"sim/plug-1/switch","cmd_t":"sim/plug-1/switch/set","pl_on":"ON","pl_off":"OFF","avty_t":"sim/plug-1/alive",{device}}}"#
            ),
        )?;
        announce(
            broker,
            "sensor/plug-1/power",
            &format!(
                r#"{{"name":"Power","uniq_id":"plug-1-p","stat_t":"sim/plug-1/power","unit_of_meas":"W","dev_cla":"power","avty_t":"sim/plug-1/alive",{device}}}"#
            ),
        )?;
        broker.publish("sim/plug-1/alive", "online", true)?;
        let mut state = broker.publisher("sim/plug-1/switch", true)?;
        let mut power = broker.publisher("sim/plug-1/power", true)?;
        state.write_line("OFF")?;
        power.write_line("0.0")?;
        self.react(broker, "sim/plug-1/switch/set", move |_, payload| {
            let watts = if payload == "ON" { "1260.5" } else { "0.0" };
            state.write_line(payload).and_then(|()| power.write_line(watts)).is_ok()
        })
    }

    /// A lamp with brightness.
    fn lamp(&mut self, broker: &Broker) -> Outcome<()> {
        announce(
            broker,
            "light/lamp-1/light",
            concat!(
                r#"{"name":"Lamp","uniq_id":"lamp-1-l","stat_t":"sim/lamp-1/power","cmd_t":"sim/lamp-1/power/set","#,
                r#""bri_stat_t":"sim/lamp-1/brightness","bri_cmd_t":"sim/lamp-1/brightness/set","bri_scl":255,"#,
                r#""dev":{"ids":["lamp-1"],"name":"Desk lamp","mf":"Simulated","mdl":"L-1"}}"#
            ),
        )?;
        let mut state = broker.publisher("sim/lamp-1/power", true)?;
        let mut brightness = broker.publisher("sim/lamp-1/brightness", true)?;
        state.write_line("OFF")?;
        brightness.write_line("128")?;
        self.react(broker, "sim/lamp-1/+/set", move |topic, payload| match topic {
            "sim/lamp-1/power/set" => state.write_line(payload).is_ok(),
            "sim/lamp-1/brightness/set" => brightness.write_line(payload).is_ok(),
            _ => true,
        })
    }

    /// A thermostat's setpoint as a number.
    fn thermostat(&mut self, broker: &Broker) -> Outcome<()> {
        announce(
            broker,
            "number/thermostat-1/setpoint",
            concat!(
                r#"{"name":"Setpoint","uniq_id":"thermostat-1-s","stat_t":"sim/thermostat-1/setpoint","cmd_t":"sim/thermostat-1/setpoint/set","#,
                r#""min":5,"max":30,"step":0.5,"unit_of_meas":"°C","#,
                r#""dev":{"ids":["thermostat-1"],"name":"Bathroom thermostat","mf":"Simulated","mdl":"T-1"}}"#
            ),
        )?;
        let mut setpoint = broker.publisher("sim/thermostat-1/setpoint", true)?;
        setpoint.write_line("20.0")?;
        self.react(broker, "sim/thermostat-1/setpoint/set", move |_, payload| setpoint.write_line(payload).is_ok())
    }

    /// A meter that knows no convention: a bare number on a topic.
    fn water_meter(&mut self, broker: &Broker) -> Outcome<()> {
        let mut publisher = broker.publisher("cellar/water/total", true)?;
        let mut litres = 1_000_u32;
        self.every(MEASURE_EVERY, move || {
            litres += 3;
            publisher.write_line(&litres.to_string()).is_ok()
        });
        Ok(())
    }

    fn every(&mut self, period: Duration, mut act: impl FnMut() -> bool + Send + 'static) {
        let (stop, stopped) = channel::<()>();
        self.stops.push(stop);
        self.threads.push(std::thread::spawn(move || {
            while act() && matches!(stopped.recv_timeout(period), Err(RecvTimeoutError::Timeout)) {}
        }));
    }

    /// Does `act` for each command on a topic filter, until the subscriber ends or `act` says no.
    fn react(
        &mut self,
        broker: &Broker,
        filter: &str,
        mut act: impl FnMut(&str, &str) -> bool + Send + 'static,
    ) -> Outcome<()> {
        let (sender, commands) = channel::<Command>();
        let heard = self.heard.clone();
        self.subscribers.push(broker.subscriber(filter, move |line| {
            let (topic, payload) = line.split_once(' ').unwrap_or((line, ""));
            heard.push(topic, payload);
            let _ = sender.send((topic.to_owned(), payload.to_owned()));
        })?);
        self.threads.push(std::thread::spawn(move || {
            while commands.recv().is_ok_and(|(topic, payload)| act(&topic, &payload)) {}
        }));
        Ok(())
    }
}

impl Drop for Household {
    fn drop(&mut self) {
        self.stops.clear();
        self.subscribers.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn announce(broker: &Broker, place: &str, document: &str) -> Outcome<()> {
    broker.publish(&format!("homeassistant/{place}/config"), document, true)
}
