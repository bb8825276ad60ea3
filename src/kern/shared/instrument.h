/* Keeps every sanitizer out of a function: for the few that run at each point. */
#ifndef KERN_SHARED_INSTRUMENT_H
#define KERN_SHARED_INSTRUMENT_H

#if defined(__clang__)
#define UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNINSTRUMENTED
#endif

#endif
