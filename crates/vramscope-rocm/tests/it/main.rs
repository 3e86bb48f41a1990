//! The real code path against a stand-in library, a root of files, and programs that print recorded outputs.

#[cfg(test)]
mod library;
#[cfg(test)]
mod machine;
#[cfg(feature = "rocm-smi-lib")]
#[cfg(test)]
mod smi_crate;
#[cfg(test)]
mod sysfs;
#[cfg(test)]
mod tool;
