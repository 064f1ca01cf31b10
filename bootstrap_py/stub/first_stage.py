# The loader, run by `python -c`: checks the version, reads the stub from descriptor 0, runs it. README.md has its rules.
import sys,os
a=sys.argv
v=sys.version_info[:3]
def w(s):os.write(1,(a[3]+a[4]+s+chr(10)).encode())
if v<(2,6) or (3,)<=v<(3,2):
 f=a[6]+sys.executable+" is %d.%d.%d; "%tuple(v)
 while a[7:]:
  b=a.pop(7)
  try:os.execvp(b,[b,"-c",a[1]]+a[1:6]+[f]+a[7:])
  except OSError:pass
 w("v"+f)
 sys.exit(127)
w("l")
p=[""]
try:p+=[os.getcwd()]
except OSError:pass
sys.path[:]=[q for q in sys.path if q not in p]
import select,zlib
n=int(a[5])
d=os.read(0,0)
while len(d)<n:
 select.select([0],[],[])
 s=os.read(0,n-len(d))
 if not s:sys.exit(1)
 d+=s
t=str(zlib.decompress(d,-15).decode()).split(chr(0))
exec(t[0],{"parts":t,"marker":a[3]+a[4]})
