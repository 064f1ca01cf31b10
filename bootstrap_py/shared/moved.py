# Names of Python's library that differ between its versions: what a pickle of one version names is found in another by them.
#
# Compared for every class of the library between 2.7 and 3.13 (tests/support/standard_values.py); what 2.x and 3.x call
# differently is Lib/_compat_pickle.py of 3.x, the rest is in "What's New" of the version that is named here.

# Modules that hold the same names, a group a line.
MODULES = [group.split() for group in '''
pathlib pathlib._local
re sre_constants re._constants sre
pickle _pickle cPickle
queue _queue Queue
io _io _pyio
os posix nt
asyncio.exceptions asyncio.base_futures asyncio.streams asyncio.events asyncio.locks concurrent.futures._base threading
concurrent.futures._base asyncio.exceptions
multiprocessing.context multiprocessing
zoneinfo._common zoneinfo
pkgutil inspect
tarfile shutil
unittest.case unittest._log
importlib._bootstrap _frozen_importlib
collections _collections UserDict UserList UserString
decimal _decimal _pydecimal
datetime _datetime _pydatetime
builtins __builtin__ exceptions
copyreg copy_reg
configparser ConfigParser
urllib.parse urlparse
urllib.error urllib2 urllib
http.client httplib
http.cookies Cookie
http.cookiejar cookielib
xmlrpc.client xmlrpclib
xml.etree.ElementTree _elementtree
html.parser HTMLParser
threading _thread thread
_thread thread
json json.decoder json.scanner
subprocess commands
tomllib tomllib._parser
'''.strip().splitlines()]
# Names that differ themselves.
NAMES = [group.split() for group in '''
re.error re.PatternError re._constants.error sre_constants.error
re._compile sre._compile
zipfile.BadZipFile zipfile.BadZipfile
signal.ItimerError signal.itimer_error
ssl.SSLCertVerificationError ssl.CertificateError
os.stat_result os._make_stat_result
os.statvfs_result os._make_statvfs_result
os.times_result builtins.tuple __builtin__.tuple
os.uname_result builtins.tuple __builtin__.tuple
os.terminal_size builtins.tuple __builtin__.tuple
shutil._ntuple_diskusage shutil.usage
platform.uname_result builtins.tuple __builtin__.tuple
io.UnsupportedOperation pathlib.UnsupportedOperation pathlib._abc.UnsupportedOperation
tokenize.TokenError tokenize.StopTokenizing
builtins.str __builtin__.unicode
builtins.int __builtin__.long
builtins.range __builtin__.xrange
builtins.Exception exceptions.StandardError
builtins.OSError exceptions.OSError exceptions.EnvironmentError exceptions.WindowsError
builtins.RuntimeError builtins.RecursionError builtins.PythonFinalizationError exceptions.RuntimeError
builtins.ImportError builtins.ModuleNotFoundError exceptions.ImportError
builtins.SyntaxError builtins._IncompleteInputError
builtins.BlockingIOError io.BlockingIOError
'''.strip().splitlines()]
# Enumerations that older versions do not have: numbers there.
NUMBERS = ('signal.Signals signal.Handlers signal.Sigmasks socket.AddressFamily socket.SocketKind socket.MsgFlag '
           'socket.AddressInfo http.HTTPStatus re.RegexFlag ssl.TLSVersion ssl.VerifyMode ssl.VerifyFlags ssl.Options '
           'ssl.AlertDescription ssl.SSLErrorNumber ssl._SSLMethod calendar.Month calendar.Day').split()
# Attributes of exceptions that have other names in 2.x.
ATTRIBUTES = {'_Error__message': 'message'}


def others(module, name):
    """The other places at which versions have what one of them calls so, likely ones first."""
    found = []
    full = module + '.' + name
    for group in NAMES:
        if full in group:
            # What a group's first is called stands for all; what stands behind it is no more than a part of it.
            found.extend([tuple(other.rsplit('.', 1)) for other in group if other != full])
    for group in MODULES:
        if module in group:
            found.extend([(other, name) for other in group if other != module])
    if full in NUMBERS:
        found.extend([('builtins', 'int'), ('__builtin__', 'int')])
    return found
