# The loader, run by `python -c`: checks the version. What it goes on with is first_stage_stub.py or first_stage_program.py.
# README.md has its rules.
import sys,os
a=sys.argv
v=sys.version_info[:3]
def w(s):os.write(1,(a[3]+a[4]+s+chr(10)).encode())
if v<(2,6) or (3,)<=v<(3,2):
 f=a[6]+sys.executable+" is %d.%d.%d; "%v
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
