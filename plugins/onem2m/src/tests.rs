//! The whole plugin against a CSE of the test's own: requests in, answers and notifications out, time as a value.

mod bench;
mod contents;
mod cse;
mod hostile;
mod mirror;
mod outages;
mod registration;
mod requests;
mod swap;
