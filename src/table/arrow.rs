//! Exports a table through the Arrow C data interface, which table libraries read
//! (<https://arrow.apache.org/docs/format/CDataInterface.html>). The export copies nothing: the table
//! lives until the last borrower has released its part.
//!
//! The crate `arrow` is not used: it has fifteen dependencies, and the export needs only three
//! structures and their release callbacks, which the specification does not change.
//!
//! Invariants: the `private_data` of a structure is a leaked box, and `release` takes the box back once.
//! The buffers belong to the `Arc` in that box.

use crate::table::column::{Bitmap, Column, Strings, Table, Values};
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::ptr;
use std::sync::Arc;

const NULLABLE: i64 = 2; // ARROW_FLAG_NULLABLE

/// `struct ArrowSchema` of the specification: names and types.
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

/// `struct ArrowArray` of the specification: values.
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

/// `struct ArrowArrayStream` of the specification: a schema and a sequence of arrays, here one array.
#[repr(C)]
#[derive(Debug)]
pub struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Stream, *mut Schema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Stream, *mut Array) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Stream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Stream)>,
    private_data: *mut c_void,
}

// SAFETY: the pointers lead to boxes that have no other references, and to a table that never changes.
// The specification allows any thread to release the structure.
unsafe impl Send for Schema {}
// SAFETY: as above.
unsafe impl Send for Stream {}

/// The memory that a schema points to.
struct SchemaOwner {
    name: CString,
    children: Vec<*mut Schema>,
}

/// The memory that an array points to.
struct ArrayOwner {
    _table: Arc<Table>,
    buffers: Vec<*const c_void>,
    children: Vec<*mut Array>,
}

/// The state of a stream.
struct StreamOwner {
    table: Arc<Table>,
    /// Whether the array was returned.
    done: bool,
}

impl Schema {
    /// Names and types of the columns.
    #[must_use]
    pub fn of(table: &Table) -> Self {
        let children = table.columns.iter().map(|column| {
            let flags = if column.validity.is_some() {
                NULLABLE
            } else {
                0
            };
            Self::new(format(&column.values), &column.name, flags, Vec::new())
        });
        Self::new(c"+s", "", 0, children.collect())
    }

    fn new(format: &'static CStr, name: &str, flags: i64, children: Vec<Self>) -> Self {
        let mut owner = Box::new(SchemaOwner {
            // The name of a column has no NUL.
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
            let nulls = column.validity.as_ref().map_or(0, Bitmap::count_zeros);
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

    /// Marks the end of a stream.
    const fn end() -> Self {
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
    /// A stream with the table as its only array.
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

/// The format string of a type.
fn format(values: &Values) -> &'static CStr {
    match values {
        Values::Timestamp(_) => c"tsn:UTC",
        Values::Int(_) => c"l",
        Values::UInt(_) => c"L",
        Values::Float(_) => c"g",
        Values::Bool(_) => c"b",
        // The variants with 64-bit offsets.
        Values::Text(_) => c"U",
        Values::Bytes(_) => c"Z",
    }
}

fn buffers(column: &Column) -> Vec<*const c_void> {
    let validity = column
        .validity
        .as_ref()
        .map_or(ptr::null(), |validity| pointer(validity.bytes()));
    match &column.values {
        Values::Timestamp(values) | Values::Int(values) => vec![validity, pointer(values)],
        Values::UInt(values) => vec![validity, pointer(values)],
        Values::Float(values) => vec![validity, pointer(values)],
        Values::Bool(values) => vec![validity, pointer(values.bytes())],
        Values::Text(Strings { offsets, bytes }) | Values::Bytes(Strings { offsets, bytes }) => {
            vec![validity, pointer(offsets), pointer(bytes)]
        }
    }
}

/// The address of a buffer; valid also for an empty one.
fn pointer<T>(values: &[T]) -> *const c_void {
    static EMPTY: [u64; 8] = [0; 8];
    if values.is_empty() {
        return EMPTY.as_ptr().cast();
    }
    values.as_ptr().cast()
}

fn boxed<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

fn size(count: usize) -> i64 {
    // No buffer is larger than an i64.
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Drops boxes of [`boxed`]. Each child that was not released is released.
fn drop_boxes<T>(boxes: Vec<*mut T>) {
    for one in boxes {
        // SAFETY: the pointer comes from `boxed`, and only the owner, which is being dropped, had it.
        drop(unsafe { Box::from_raw(one) });
    }
}

unsafe extern "C" fn release_schema(schema: *mut Schema) {
    // SAFETY: the specification requires a schema that was created here and not released.
    let schema = unsafe { &mut *schema };
    // SAFETY: `private_data` is a leaked box until the release.
    let owner = unsafe { Box::from_raw(schema.private_data.cast::<SchemaOwner>()) };
    schema.release = None;
    schema.private_data = ptr::null_mut();
    drop_boxes(owner.children);
}

unsafe extern "C" fn release_array(array: *mut Array) {
    // SAFETY: as in `release_schema`.
    let array = unsafe { &mut *array };
    // SAFETY: as in `release_schema`. A child that was moved out is marked as released.
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
    // SAFETY: the stream was created here and not released; calls do not overlap.
    let owner = unsafe { &*(*stream).private_data.cast::<StreamOwner>() };
    // SAFETY: the caller provides memory for a schema.
    unsafe { out.write(Schema::of(&owner.table)) };
    0
}

unsafe extern "C" fn get_next(stream: *mut Stream, out: *mut Array) -> c_int {
    // SAFETY: as in `get_schema`.
    let owner = unsafe { &mut *(*stream).private_data.cast::<StreamOwner>() };
    let next = if owner.done {
        Array::end()
    } else {
        Array::of(&owner.table)
    };
    owner.done = true;
    // SAFETY: the caller provides memory for an array.
    unsafe { out.write(next) };
    0
}

unsafe extern "C" fn get_last_error(_: *mut Stream) -> *const c_char {
    // No call fails.
    ptr::null()
}

macro_rules! release_on_drop {
    ($($structure:ty),*) => {$(
        impl Drop for $structure {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: the structure was created here and not released.
                    unsafe { release(self) };
                }
            }
        }
    )*};
}

release_on_drop!(Schema, Array, Stream);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::table::builder::TableBuilder;
    use crate::wire::message::ParsedMessage;
    use std::mem::MaybeUninit;

    fn table(payloads: &[&[u8]]) -> Arc<Table> {
        let mut builder = TableBuilder::default();
        for payload in payloads {
            builder.push(7, &ParsedMessage::default(), payload).unwrap();
        }
        Arc::new(builder.finish(true).unwrap())
    }

    fn next(stream: &mut Stream) -> Array {
        let mut out = MaybeUninit::uninit();
        // SAFETY: the stream was not released, and the memory is that of an array.
        assert_eq!(
            unsafe { stream.get_next.unwrap()(stream, out.as_mut_ptr()) },
            0
        );
        // SAFETY: the call has written it.
        unsafe { out.assume_init() }
    }

    #[test]
    fn a_table_lives_until_its_last_part_is_released() {
        let table = table(&[b"{\"a\":1}", b"x"]);
        let alive = Arc::downgrade(&table);
        let columns = table.columns.len();
        let mut stream = Stream::of(table);
        let mut schema = MaybeUninit::uninit();
        // SAFETY: the stream was not released, and the memory is that of a schema.
        let code = unsafe { stream.get_schema.unwrap()(&raw mut stream, schema.as_mut_ptr()) };
        assert_eq!(code, 0);
        // SAFETY: the call has written it.
        let schema = unsafe { schema.assume_init() };
        assert_eq!(schema.n_children, size(columns));
        let array = next(&mut stream);
        assert_eq!((array.length, array.n_children), (2, size(columns)));
        assert!(next(&mut stream).release.is_none());
        drop(stream);
        // A borrower may move a column out and release the rest.
        // SAFETY: the array has that many children.
        let child = unsafe { *array.children.add(columns - 1) };
        // SAFETY: moved as the specification requires: copied, and marked as released.
        let column = unsafe { child.read() };
        // SAFETY: the array was not released.
        unsafe { (*child).release = None };
        drop(array);
        drop(schema);
        assert_eq!(column.null_count, 1);
        // SAFETY: the second buffer of an Int column has one number per row.
        let numbers = unsafe { *column.buffers.add(1) }.cast::<i64>();
        // SAFETY: as above.
        let first = unsafe { *numbers };
        assert_eq!(first, 1);
        assert!(alive.upgrade().is_some());
        drop(column);
        assert!(alive.upgrade().is_none());
    }

    #[test]
    fn the_buffers_of_an_empty_table_are_not_null() {
        let mut stream = Stream::of(table(&[]));
        let array = next(&mut stream);
        assert_eq!(array.length, 0);
        for index in 0..usize::try_from(array.n_children).unwrap() {
            // SAFETY: the index is below the number of children.
            let child = unsafe { &**array.children.add(index) };
            // SAFETY: each column has a buffer of values after its validity buffer.
            let values = unsafe { *child.buffers.add(1) };
            assert!(!values.is_null());
        }
    }
}
