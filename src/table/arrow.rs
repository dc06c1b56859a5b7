//! A finished table, lent out through the Arrow C data interface: three structures in C that every
//! library for tables reads (<https://arrow.apache.org/docs/format/CDataInterface.html>). Nothing is
//! copied; the table lives until the last borrower has released its part.
//!
//! Why by hand: exporting takes the three structures and their release callbacks, which the
//! specification has frozen. The crate `arrow` would bring fifteen others for the same.
//!
//! Invariants: a structure's `private_data` is the box that its maker leaked, until `release` takes
//! it back, once; buffers belong to the `Arc` in that box.

use crate::table::column::{Bits, Column, Strings, Table, Values};
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::ptr;
use std::sync::Arc;

const NULLABLE: i64 = 2; // ARROW_FLAG_NULLABLE

/// What the specification calls `struct ArrowSchema`: names and types.
#[repr(C)]
#[derive(Debug)]
pub struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut Schema,
    dictionary: *mut Schema,
    release: Option<unsafe extern "C" fn(*mut Schema)>,
    private_data: *mut c_void,
}

/// What the specification calls `struct ArrowArray`: values.
#[repr(C)]
#[derive(Debug)]
pub struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *const *const c_void,
    children: *mut *mut Array,
    dictionary: *mut Array,
    release: Option<unsafe extern "C" fn(*mut Array)>,
    private_data: *mut c_void,
}

/// What the specification calls `struct ArrowArrayStream`: a schema, and arrays one after the other;
/// here one.
#[repr(C)]
#[derive(Debug)]
pub struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Stream, *mut Schema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Stream, *mut Array) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Stream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Stream)>,
    private_data: *mut c_void,
}

// SAFETY: what they point to is in boxes that nothing else refers to, and in a table that never
// changes; the specification lets another thread release them.
unsafe impl Send for Schema {}
// SAFETY: as above.
unsafe impl Send for Stream {}

/// What a schema points to.
struct SchemaOwner {
    name: CString,
    children: Vec<*mut Schema>,
}

/// What an array points to.
struct ArrayOwner {
    _table: Arc<Table>,
    buffers: Vec<*const c_void>,
    children: Vec<*mut Array>,
}

/// What a stream points to: the table, until it was handed out, and its schema's maker.
struct StreamOwner {
    table: Arc<Table>,
    done: bool,
}

impl Schema {
    /// Names and types of the columns.
    #[must_use]
    pub fn of(table: &Table) -> Self {
        let children = table.columns.iter().map(|column| {
            let flags = if column.valid.is_some() { NULLABLE } else { 0 };
            Self::new(format(&column.values), &column.name, flags, Vec::new())
        });
        Self::new(c"+s", "", 0, children.collect())
    }

    fn new(format: &'static CStr, name: &str, flags: i64, children: Vec<Self>) -> Self {
        let mut owner = Box::new(SchemaOwner {
            // A name has no NUL; `Column` says so.
            name: CString::new(name).unwrap_or_default(),
            children: children.into_iter().map(boxed).collect(),
        });
        Self {
            format: format.as_ptr(),
            name: owner.name.as_ptr(),
            metadata: ptr::null(),
            flags,
            n_children: size(owner.children.len()),
            children: owner.children.as_mut_ptr(),
            dictionary: ptr::null_mut(),
            release: Some(release_schema),
            private_data: Box::into_raw(owner).cast(),
        }
    }
}

impl Array {
    fn of(table: &Arc<Table>) -> Self {
        let children = table.columns.iter();
        let children = children.map(|column| {
            let nulls = column.valid.as_ref().map_or(0, Bits::zeros_count);
            Self::new(table, nulls, buffers(column), Vec::new())
        });
        Self::new(table, 0, vec![ptr::null()], children.collect())
    }

    fn new(
        table: &Arc<Table>,
        nulls: usize,
        buffers: Vec<*const c_void>,
        children: Vec<Self>,
    ) -> Self {
        let mut owner = Box::new(ArrayOwner {
            _table: Arc::clone(table),
            buffers,
            children: children.into_iter().map(boxed).collect(),
        });
        Self {
            length: size(table.rows),
            null_count: size(nulls),
            offset: 0,
            n_buffers: size(owner.buffers.len()),
            n_children: size(owner.children.len()),
            buffers: owner.buffers.as_ptr(),
            children: owner.children.as_mut_ptr(),
            dictionary: ptr::null_mut(),
            release: Some(release_array),
            private_data: Box::into_raw(owner).cast(),
        }
    }

    /// What stands where there is no further array.
    const fn none() -> Self {
        Self {
            length: 0,
            null_count: 0,
            offset: 0,
            n_buffers: 0,
            n_children: 0,
            buffers: ptr::null(),
            children: ptr::null_mut(),
            dictionary: ptr::null_mut(),
            release: None,
            private_data: ptr::null_mut(),
        }
    }
}

impl Stream {
    /// The table, as one array.
    #[must_use]
    pub fn of(table: Arc<Table>) -> Self {
        let owner = Box::new(StreamOwner { table, done: false });
        Self {
            get_schema: Some(get_schema),
            get_next: Some(get_next),
            get_last_error: Some(get_last_error),
            release: Some(release_stream),
            private_data: Box::into_raw(owner).cast(),
        }
    }
}

/// A type, in the specification's letters.
fn format(values: &Values) -> &'static CStr {
    match values {
        Values::Moment(_) => c"tsn:UTC",
        Values::Int(_) => c"l",
        Values::UInt(_) => c"L",
        Values::Float(_) => c"g",
        Values::Bool(_) => c"b",
        // With offsets of 64 bits: nothing here limits how much there is.
        Values::Text(_) => c"U",
        Values::Bytes(_) => c"Z",
    }
}

fn buffers(column: &Column) -> Vec<*const c_void> {
    let valid = column.valid.as_ref().map_or(ptr::null(), |valid| {
        // With no row there are no bits, and none are missing.
        start(valid.bytes())
    });
    match &column.values {
        Values::Moment(values) | Values::Int(values) => vec![valid, start(values)],
        Values::UInt(values) => vec![valid, start(values)],
        Values::Float(values) => vec![valid, start(values)],
        Values::Bool(values) => vec![valid, start(values.bytes())],
        Values::Text(Strings { offsets, bytes }) | Values::Bytes(Strings { offsets, bytes }) => {
            vec![valid, start(offsets), start(bytes)]
        }
    }
}

/// Where they stand; also none of them stand somewhere.
fn start<T>(values: &[T]) -> *const c_void {
    static NOTHING: [u64; 8] = [0; 8];
    if values.is_empty() {
        return NOTHING.as_ptr().cast();
    }
    values.as_ptr().cast()
}

fn boxed<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

fn size(count: usize) -> i64 {
    // Memory ends long before an i64 does.
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Gives what was `boxed` back; each releases what it still has.
fn drop_boxes<T>(boxes: Vec<*mut T>) {
    for one in boxes {
        // SAFETY: it comes from `boxed`, and its owner, which nobody has any more, was its only holder.
        drop(unsafe { Box::from_raw(one) });
    }
}

unsafe extern "C" fn release_schema(schema: *mut Schema) {
    // SAFETY: who calls has a schema of ours that was not released, as the specification demands.
    let schema = unsafe { &mut *schema };
    // SAFETY: its maker leaked this box, and nobody took it back before.
    let owner = unsafe { Box::from_raw(schema.private_data.cast::<SchemaOwner>()) };
    schema.release = None;
    schema.private_data = ptr::null_mut();
    drop_boxes(owner.children);
}

unsafe extern "C" fn release_array(array: *mut Array) {
    // SAFETY: as in `release_schema`.
    let array = unsafe { &mut *array };
    // SAFETY: as in `release_schema`. A child that was moved elsewhere is marked as released here.
    let owner = unsafe { Box::from_raw(array.private_data.cast::<ArrayOwner>()) };
    array.release = None;
    array.private_data = ptr::null_mut();
    drop_boxes(owner.children);
}

unsafe extern "C" fn release_stream(stream: *mut Stream) {
    // SAFETY: as in `release_schema`.
    let stream = unsafe { &mut *stream };
    // SAFETY: as in `release_schema`.
    drop(unsafe { Box::from_raw(stream.private_data.cast::<StreamOwner>()) });
    stream.release = None;
    stream.private_data = ptr::null_mut();
}

unsafe extern "C" fn get_schema(stream: *mut Stream, out: *mut Schema) -> c_int {
    // SAFETY: a stream of ours that was not released; calls do not overlap.
    let owner = unsafe { &*(*stream).private_data.cast::<StreamOwner>() };
    // SAFETY: the caller's memory for a schema, which holds none yet.
    unsafe { out.write(Schema::of(&owner.table)) };
    0
}

unsafe extern "C" fn get_next(stream: *mut Stream, out: *mut Array) -> c_int {
    // SAFETY: as in `get_schema`.
    let owner = unsafe { &mut *(*stream).private_data.cast::<StreamOwner>() };
    let next = if owner.done {
        Array::none()
    } else {
        Array::of(&owner.table)
    };
    owner.done = true;
    // SAFETY: the caller's memory for an array, which holds none yet.
    unsafe { out.write(next) };
    0
}

unsafe extern "C" fn get_last_error(_: *mut Stream) -> *const c_char {
    // There are none.
    ptr::null()
}

macro_rules! releases_what_it_has {
    ($($structure:ty),*) => {$(
        impl Drop for $structure {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: it was made here, and not released.
                    unsafe { release(self) };
                }
            }
        }
    )*};
}

releases_what_it_has!(Schema, Array, Stream);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::table::Builder;
    use crate::wire::message::ParsedMessage;
    use std::mem::MaybeUninit;

    fn table(payloads: &[&[u8]]) -> Arc<Table> {
        let mut builder = Builder::default();
        for payload in payloads {
            builder.push(7, &ParsedMessage::default(), payload).unwrap();
        }
        Arc::new(builder.finish(true).unwrap())
    }

    fn next(stream: &mut Stream) -> Array {
        let mut out = MaybeUninit::uninit();
        // SAFETY: the stream is ours, and there is room for an array.
        assert_eq!(
            unsafe { stream.get_next.unwrap()(stream, out.as_mut_ptr()) },
            0
        );
        // SAFETY: it was just written.
        unsafe { out.assume_init() }
    }

    #[test]
    fn a_table_lives_as_long_as_somebody_has_a_part_of_it() {
        let table = table(&[b"{\"a\":1}", b"x"]);
        let alive = Arc::downgrade(&table);
        let columns = table.columns.len();
        let mut stream = Stream::of(table);
        let mut schema = MaybeUninit::uninit();
        // SAFETY: the stream is ours, and there is room for a schema.
        let code = unsafe { stream.get_schema.unwrap()(&raw mut stream, schema.as_mut_ptr()) };
        assert_eq!(code, 0);
        // SAFETY: it was just written.
        let schema = unsafe { schema.assume_init() };
        assert_eq!(schema.n_children, size(columns));
        let array = next(&mut stream);
        assert_eq!((array.length, array.n_children), (2, size(columns)));
        assert!(next(&mut stream).release.is_none());
        drop(stream);
        // A borrower may take a column out and let go of the rest.
        // SAFETY: the array has that many children.
        let child = unsafe { *array.children.add(columns - 1) };
        // SAFETY: moved as the specification has it: copied, and marked as released.
        let column = unsafe { child.read() };
        // SAFETY: it is still there.
        unsafe { (*child).release = None };
        drop(array);
        drop(schema);
        assert_eq!(column.null_count, 1);
        // SAFETY: an Int column's second buffer has as many numbers as it has rows.
        let numbers = unsafe { *column.buffers.add(1) }.cast::<i64>();
        // SAFETY: as above.
        let first = unsafe { *numbers };
        assert_eq!(first, 1);
        assert!(alive.upgrade().is_some());
        drop(column);
        assert!(alive.upgrade().is_none());
    }

    #[test]
    fn an_empty_table_has_buffers_too() {
        let mut stream = Stream::of(table(&[]));
        let array = next(&mut stream);
        assert_eq!(array.length, 0);
        for index in 0..usize::try_from(array.n_children).unwrap() {
            // SAFETY: within the children.
            let child = unsafe { &**array.children.add(index) };
            // SAFETY: each has a buffer of values after that of its bits.
            let values = unsafe { *child.buffers.add(1) };
            assert!(!values.is_null());
        }
    }
}
