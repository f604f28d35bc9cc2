"""C{twistd umbcmail}."""

from twisted.application.service import ServiceMaker

umbcmail = ServiceMaker("umbcmail", "umbcmail.tap", "A mail transfer system.", "umbcmail")
