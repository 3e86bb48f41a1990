//! The real code path against a stand-in library, a root of files, and programs that print recorded outputs.

#[cfg(test)]
mod library;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod sysfs;
#[cfg(test)]
mod tool;
