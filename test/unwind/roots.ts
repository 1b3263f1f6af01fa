/** What threads begin with, by name. */

/**
 * Where threads begin: crt1 and the dynamic linker, glibc's and musl's threads, makecontext, Go's goroutines and threads, and the
 * coroutine of coroutines.c that begins with no caller.
 */
export const ROOTS =
  /^(_start|_start_c|_dl_start_user|start_thread|(__|__GI___)?clone3?|__start_context|fiber_outer|crosscall1|runtime\.(goexit|mstart|mcall|systemstack|rt0_go|morestack|sigtramp|asmcgocall|cgocallback|goexit1|mstart1|mstart0)(\.abi0)?|_rt0_amd64(_linux)?)$/;
