//! Just enough of libpcre2-8 to run a pattern with its just-in-time compiler.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

/// A compiled pattern and the room for its captures.
pub(crate) struct Pcre {
    code: *mut c_void,
    room: *mut c_void,
    context: *mut c_void,
}

impl Pcre {
    /// `None` if PCRE2 does not read the pattern, or its compiler refuses it.
    pub(crate) fn new(pattern: &str, multi_line: bool) -> Option<Pcre> {
        let options = PCRE2_NEVER_UTF | if multi_line { PCRE2_MULTILINE } else { 0 };
        let (mut error, mut at) = (0, 0);
        // SAFETY: the pattern is read only during the call; what is returned is owned here.
        unsafe {
            let code = pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                options,
                &mut error,
                &mut at,
                null_mut(),
            );
            if code.is_null() || pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE) != 0 {
                return None;
            }
            let room = pcre2_match_data_create_from_pattern_8(code, null_mut());
            let context = pcre2_match_context_create_8(null_mut());
            Some(Pcre { code, room, context })
        }
    }

    /// The offsets of all groups, if it matches.
    pub(crate) fn find(&mut self, text: &[u8]) -> Option<&[usize]> {
        // SAFETY: text and compiled pattern live as long as the call; the vector of offsets belongs
        // to the match data, which lives as long as `self`, and has as many pairs as it says.
        unsafe {
            let count = pcre2_jit_match_8(
                self.code,
                text.as_ptr(),
                text.len(),
                0,
                0,
                self.room,
                self.context,
            );
            let pairs = pcre2_get_ovector_count_8(self.room) as usize;
            (count > 0).then(|| {
                std::slice::from_raw_parts(pcre2_get_ovector_pointer_8(self.room), pairs * 2)
            })
        }
    }

    /// Where a named group matched.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        let name = std::ffi::CString::new(name).ok()?;
        // SAFETY: the name ends in a null byte and lives as long as the call.
        let index = unsafe { pcre2_substring_number_from_name_8(self.code, name.as_ptr().cast()) };
        usize::try_from(index).ok()
    }
}

impl Drop for Pcre {
    fn drop(&mut self) {
        // SAFETY: all three came from PCRE2 and are given back once.
        unsafe {
            pcre2_match_context_free_8(self.context);
            pcre2_match_data_free_8(self.room);
            pcre2_code_free_8(self.code);
        }
    }
}

const PCRE2_MULTILINE: u32 = 0x0000_0400;
const PCRE2_NEVER_UTF: u32 = 0x0000_1000;
const PCRE2_JIT_COMPLETE: u32 = 1;

#[link(name = "pcre2-8")]
unsafe extern "C" {
    fn pcre2_compile_8(
        pattern: *const u8,
        length: usize,
        options: u32,
        error: *mut c_int,
        at: *mut usize,
        context: *mut c_void,
    ) -> *mut c_void;
    fn pcre2_jit_compile_8(code: *mut c_void, options: u32) -> c_int;
    fn pcre2_match_data_create_from_pattern_8(
        code: *mut c_void,
        context: *mut c_void,
    ) -> *mut c_void;
    fn pcre2_match_context_create_8(context: *mut c_void) -> *mut c_void;
    fn pcre2_jit_match_8(
        code: *mut c_void,
        text: *const u8,
        length: usize,
        start: usize,
        options: u32,
        room: *mut c_void,
        context: *mut c_void,
    ) -> c_int;
    fn pcre2_get_ovector_pointer_8(room: *mut c_void) -> *const usize;
    fn pcre2_get_ovector_count_8(room: *mut c_void) -> u32;
    fn pcre2_substring_number_from_name_8(code: *mut c_void, name: *const u8) -> c_int;
    fn pcre2_match_context_free_8(context: *mut c_void);
    fn pcre2_match_data_free_8(room: *mut c_void);
    fn pcre2_code_free_8(code: *mut c_void);
}
