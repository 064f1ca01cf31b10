/* bcryptprimitives.dll for a Wine older than 8.13, which has none: the one function of it that Rust's library uses. For tests alone. */

#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    return RtlGenRandom(data, (ULONG)length);
}
