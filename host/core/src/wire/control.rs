//! Control: setting parameters and asking for their form, in all generations, for both sides (spec: control).
//!
//! Says how requests, answers and refusals are written and what text a type can mean; whether a value is allowed is not decided here.

mod answer;
mod parameter;
mod request;

pub(crate) use answer::code_of;
pub use answer::{Answer, Refusal, condition_of, parameter_error, success};
pub use parameter::{FormParameter, Given, form, invalid, parameter, parameter_of, takes, type_of, typed};
pub use request::{GetForm, Parameter, Request, Set};
