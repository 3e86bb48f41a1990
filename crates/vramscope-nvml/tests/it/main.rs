//! The real code path against a stand-in library: values, errors, old drivers, lost devices.

#[cfg(test)]
mod opening;
#[cfg(test)]
mod readings;
#[cfg(test)]
mod standin;
