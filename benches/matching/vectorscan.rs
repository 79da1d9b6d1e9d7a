//! Vectorscan (Hyperscan), the fastest general engine for many patterns: the few functions of its C
//! interface (`hs/hs.h`) that a search in blocks needs. Debian: libvectorscan-dev.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr::null_mut;

/// Patterns compiled together, with the memory to search in.
pub(crate) struct Vectorscan {
    database: *mut c_void,
    scratch: *mut c_void,
    /// Patterns that it does not take.
    pub(crate) refused: usize,
}

/// How often it may report a pattern.
#[derive(Clone, Copy)]
pub(crate) enum Reports {
    /// Once a line.
    Once,
    /// At every byte where a match ends.
    Every,
}

impl Vectorscan {
    /// Compiles what it can of `patterns`.
    pub(crate) fn new(patterns: &[String], reports: Reports) -> Result<Vectorscan, String> {
        let flags = match reports {
            Reports::Once => DOTALL | ALLOWEMPTY | SINGLEMATCH,
            Reports::Every => DOTALL | ALLOWEMPTY,
        };
        let c_string = |it: &String| CString::new(it.as_str()).expect("no pattern holds a NUL");
        let mut taken: Vec<CString> = patterns.iter().map(c_string).collect();
        // One that it does not take fails all; only then is each tried alone.
        let database = compile(&taken, flags).or_else(|_| {
            taken.retain(|pattern| compile(std::slice::from_ref(pattern), flags).is_ok());
            compile(&taken, flags)
        })?;
        let refused = patterns.len() - taken.len();
        let mut scratch = null_mut();
        #[expect(unsafe_code, reason = "a C interface")]
        // SAFETY: the database was just compiled, and the scratch begins as a null pointer.
        let status = unsafe { hs_alloc_scratch(database, &mut scratch) };
        assert_eq!(status, 0, "hs_alloc_scratch");
        Ok(Vectorscan { database, scratch, refused })
    }

    /// How many reports there are for `subject`.
    pub(crate) fn count(&mut self, subject: &[u8]) -> usize {
        let mut count = 0_usize;
        let context = (&raw mut count).cast();
        let (data, length) = (subject.as_ptr().cast(), subject.len() as c_uint);
        #[expect(unsafe_code, reason = "a C interface")]
        // SAFETY: `subject` and `count` outlive the call; database and scratch are our own.
        let status =
            unsafe { hs_scan(self.database, data, length, 0, self.scratch, on_match, context) };
        assert_eq!(status, 0, "hs_scan");
        count
    }

    /// Bytes of the compiled patterns.
    pub(crate) fn bytes(&self) -> usize {
        let mut bytes = 0;
        #[expect(unsafe_code, reason = "a C interface")]
        // SAFETY: the database is our own.
        unsafe {
            hs_database_size(self.database, &mut bytes)
        };
        bytes
    }
}

impl Drop for Vectorscan {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "a C interface")]
        // SAFETY: both are our own, and nobody uses them after this.
        unsafe {
            hs_free_scratch(self.scratch);
            hs_free_database(self.database);
        }
    }
}

fn compile(patterns: &[CString], flags: c_uint) -> Result<*mut c_void, String> {
    let pointers: Vec<*const c_char> = patterns.iter().map(|it| it.as_ptr()).collect();
    let flags = vec![flags; patterns.len()];
    let ids: Vec<c_uint> = (0..patterns.len() as c_uint).collect();
    let (mut database, mut error) = (null_mut(), null_mut());
    #[expect(unsafe_code, reason = "a C interface")]
    // SAFETY: three arrays of the stated length, which outlive the call; no platform (the host's).
    let status = unsafe {
        hs_compile_multi(
            pointers.as_ptr(),
            flags.as_ptr(),
            ids.as_ptr(),
            patterns.len() as c_uint,
            MODE_BLOCK,
            null_mut(),
            &mut database,
            &mut error,
        )
    };
    if status == 0 {
        return Ok(database);
    }
    #[expect(unsafe_code, reason = "a C interface")]
    // SAFETY: on failure the library has set `error`, whose message is a C string; freed once.
    let message = unsafe {
        let message = CStr::from_ptr((*error).message).to_string_lossy().into_owned();
        hs_free_compile_error(error);
        message
    };
    Err(message)
}

extern "C" fn on_match(
    _: c_uint,
    _: c_ulonglong,
    _: c_ulonglong,
    _: c_uint,
    context: *mut c_void,
) -> c_int {
    #[expect(unsafe_code, reason = "a C interface")]
    // SAFETY: `Vectorscan::count` hands over its own counter, and waits for the search to end.
    unsafe {
        *context.cast::<usize>() += 1;
    }
    0
}

#[repr(C)]
struct CompileError {
    message: *const c_char,
    expression: c_int,
}

type OnMatch =
    extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, context: *mut c_void) -> c_int;

#[link(name = "hs")]
#[expect(unsafe_code, reason = "a C interface")]
// SAFETY: as `hs_compile.h`, `hs_runtime.h` and `hs_common.h` of Vectorscan 5.4 declare them.
unsafe extern "C" {
    fn hs_compile_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        elements: c_uint,
        mode: c_uint,
        platform: *mut c_void,
        database: *mut *mut c_void,
        error: *mut *mut CompileError,
    ) -> c_int;
    fn hs_free_compile_error(error: *mut CompileError) -> c_int;
    fn hs_alloc_scratch(database: *mut c_void, scratch: *mut *mut c_void) -> c_int;
    fn hs_scan(
        database: *mut c_void,
        data: *const c_char,
        length: c_uint,
        flags: c_uint,
        scratch: *mut c_void,
        on_match: OnMatch,
        context: *mut c_void,
    ) -> c_int;
    fn hs_database_size(database: *mut c_void, bytes: *mut usize) -> c_int;
    fn hs_free_scratch(scratch: *mut c_void) -> c_int;
    fn hs_free_database(database: *mut c_void) -> c_int;
}

// The values of `hs_compile.h`.
const DOTALL: c_uint = 2;
const SINGLEMATCH: c_uint = 8;
const ALLOWEMPTY: c_uint = 16;
const MODE_BLOCK: c_uint = 1;
